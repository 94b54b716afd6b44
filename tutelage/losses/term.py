"""The contract of a loss term: what it needs, as data, and one number for a batch.

A term wraps a pure loss function of the same file. It knows no weight: weights belong to the
objective. A term that learns something (an adapter) or remembers something (a memory) owns it as a
submodule or buffer.
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Self

from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.types import Batch, ModelOutput, NetworkInfo, Progress, TeacherOutput


class Needs(NamedTuple):
    """What a term reads; points are submodule paths whose features are to be recorded.

    `teacher_vectors` are points that give a vector, which is small enough to be kept in a cache.
    """

    teacher_logits: bool = False
    labels: bool = False
    student_points: tuple[str, ...] = ()
    teacher_points: tuple[str, ...] = ()
    teacher_vectors: tuple[str, ...] = ()
    ids: bool = False


class BuildContext(NamedTuple):
    """What is known before training begins, for terms that build something from it.

    images: images that are taught with; ids: theirs [images], in a pack that holds others as well, or None
    where they are 0 to images - 1.
    """

    student: NetworkInfo
    teacher: NetworkInfo
    classes: int
    images: int
    ids: Tensor | None = None
    label_smoothing: float = 0.0


class Term(nn.Module, ABC):
    """One idea of what to teach. Subclasses set `needs` and write `forward`."""

    needs: Needs = Needs()
    least: int = 1
    """Images without which a batch means nothing to the idea."""

    across_batch: bool = True
    """Whether images are compared with each other: then several processes gather the whole batch for it.
    Otherwise the loss is a mean over images, and each process computes it for its own.
    """

    staged: bool = False
    """Whether parameters of the term are left alone in some steps."""

    @classmethod
    def build(cls, settings: WeightedLossConfig, ground: BuildContext) -> Self:
        """The term of some settings: each of them that is no weight is an argument of the same name."""
        return cls(**term_arguments(settings))

    @abstractmethod
    def forward(
        self, student: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """The mean of the loss over the batch, a scalar in fp32 (fp64 for fp64 inputs)."""


def term_arguments(settings: WeightedLossConfig) -> dict[str, Any]:
    """What a term's settings say beside its weight, schedule and points."""
    shared = {"weight", "from_epoch", "warmup_epochs", "until_epoch", "fade"}
    shared |= {"student_points", "teacher_points"}
    fields = (field.name for field in dataclasses.fields(settings))
    return {name: getattr(settings, name) for name in fields if name not in shared}
