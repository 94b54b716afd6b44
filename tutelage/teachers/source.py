"""The contract of a teacher: given a batch, its word as a `Signal`. Methods and loop know only this."""

from collections.abc import Callable

from tutelage.nouns import NO_SIGNAL, Batch, Signal

Teacher = Callable[[Batch], Signal]


def nobody(_batch: Batch) -> Signal:
    """No teacher: how teachers and controls are trained."""
    return NO_SIGNAL
