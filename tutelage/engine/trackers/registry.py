"""The trackers by name, and whether each can be used here."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import NamedTuple

from tutelage.engine.trackers.mlflow import MLflowTracker
from tutelage.engine.trackers.tensorboard import TensorBoardTracker
from tutelage.engine.trackers.tracker import Tracker
from tutelage.engine.trackers.trackio import TrackioTracker
from tutelage.engine.trackers.wandb import WandbTracker, require_login
from tutelage.errors import MachineError


class TrackerSpec(NamedTuple):
    """One tracker that `--track` names."""

    package: str
    """What it imports, which the extra of the tracker's name installs."""

    factory: Callable[[], Tracker]

    check: Callable[[], None] = lambda: None
    """Refuses what would only show when the first run starts."""


TRACKERS: Mapping[str, TrackerSpec] = {
    "tensorboard": TrackerSpec("tensorboard", TensorBoardTracker),
    "mlflow": TrackerSpec("mlflow", MLflowTracker),
    "wandb": TrackerSpec("wandb", WandbTracker, require_login),
    "trackio": TrackerSpec("trackio", TrackioTracker),
}


def require_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot be used here, before anything is trained.

    Raises:
        MachineError: the package is not installed.
        UsageError: there is no account to log to.
    """
    for name in names:
        spec = TRACKERS[name]
        found = find_spec(spec.package)
        if found is None or found.origin is None:  # a folder that a tracker made has its name, too
            raise MachineError(
                f"--track {name} needs the package {spec.package}",
                found="not installed",
                fix=f'pip install "tutelage[{name}]"',
            )
        spec.check()
