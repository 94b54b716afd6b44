"""The contract of a loss term: what it needs, as data, and one number for a batch.

A term wraps a pure loss function of the same file. It knows no weight: weights belong to the
objective. A term that learns something (an adapter) or remembers something (a memory) owns it as a
submodule or buffer.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from tutelage.nouns import Batch, Output, Signal


class Needs(NamedTuple):
    """What a term reads; points are submodule paths whose features are to be recorded.

    Of `teacher_pooled` the mean over positions is enough, which is small enough to be kept in a cache.
    """

    teacher_logits: bool = False
    labels: bool = False
    student_points: tuple[str, ...] = ()
    teacher_points: tuple[str, ...] = ()
    teacher_pooled: tuple[str, ...] = ()
    ids: bool = False


class Term(nn.Module, ABC):
    """One idea of what to teach. Subclasses set `needs` and write `forward`."""

    needs: Needs = Needs()

    @abstractmethod
    def forward(self, student: Output, signal: Signal, batch: Batch) -> Tensor:
        """The mean of the loss over the batch, a scalar in fp32 (fp64 for fp64 logits)."""
