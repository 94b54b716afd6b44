"""Settings of experiment trackers: which ones log a job, and where."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Where the progress of training is shown besides the console and the report; see docs/trackers.md."""

    track: tuple[TrackerName, ...] = ()
    """Experiment trackers that follow the job: tensorboard, mlflow, wandb, trackio; unset: none."""

    track_project: str | None = None
    """Name of the project (MLflow: experiment) in the trackers; unset: that of the job's folder."""

    track_dir: str | None = None
    """Folder of what trackers keep on this machine; unset: `tracking` in the job's folder."""


FOLDER = "tracking"
"""Name of the folder in a job's folder for local files of trackers."""

TRACKING = tuple(field.name for field in dataclasses.fields(TrackingConfig))
"""Settings that do not change a run, so that a job may be continued with other ones."""
