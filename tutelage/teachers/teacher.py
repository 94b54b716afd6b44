"""The contract of a teacher: given a batch, its word as a `Signal`. Methods and loop know only this."""

from typing import Protocol

from tutelage.types import NO_SIGNAL, START, Batch, Progress, Signal


class Teacher(Protocol):
    """Whoever teaches; one whose word changes in the course of training looks at where it stands."""

    def __call__(self, batch: Batch, progress: Progress = START, /) -> Signal:
        """What it says about a batch."""


def nobody(_batch: Batch, _progress: Progress = START, /) -> Signal:
    """No teacher: how teachers and controls are trained."""
    return NO_SIGNAL
