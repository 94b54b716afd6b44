"""What an experiment tracker is to a run: it is started, given points, and finished."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE = "lr"
"""A metric that every epoch has: where a tracker holds it for an epoch, it holds all of that epoch."""


class TrackedRun(NamedTuple):
    """What a tracker is given about the run that it follows."""

    id: str
    """16 hexadecimal digits; the same whenever this run of this job is continued."""

    name: str
    """In the job: `student-0`."""

    group: str
    """Name of the job's folder."""

    project: str
    """Project of all runs of the job; MLflow calls it an experiment."""

    kind: str
    """Role of the run, or `report`."""

    config: Mapping[str, Any]
    """Settings by dotted path, without those that name a place on this machine."""

    folder: Path
    """Where trackers keep their files."""


class Tracker(Protocol):
    """One experiment tracker. What its functions raise is reported, and the run goes on without it.

    A class without arguments; its package is imported in `start`.
    """

    def start(self, run: TrackedRun) -> Collection[int]:
        """Begin the tracked run, or continue the one with the same id.

        Returns:
            The epochs whose points it keeps from before; the others are logged once more.
        """

    def where(self) -> str:
        """Where a person looks at the tracked run: an address, or the command that opens it."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the points of an epoch, counted from 1, and hand them on before returning."""

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        """Add what was measured after the last epoch; the same values may come a second time."""

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:
        """Add an image [H, W, 3]; the same one may come a second time."""

    def artifact(self, path: Path) -> None:
        """Add a copy of a file; a tracker without artifacts may show its content, or leave it out."""

    def finish(self, *, complete: bool) -> None:
        """End the tracked run, or pause it where the run will be continued."""
