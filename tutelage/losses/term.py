"""The contract of a loss term: what it reads, declared as data, and one number for a batch.

A term wraps a pure loss function of the same file. It holds no weight: weights belong to the objective.
What a term learns (an adapter) or remembers (a memory bank) is a submodule or buffer of it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.schema import validate
from tutelage.errors import UsageError
from tutelage.types import Batch, ModelOutput, NetworkInfo, Progress, TeacherOutput


class Needs(NamedTuple):
    """What a term reads."""

    teacher_logits: bool = False
    labels: bool = False
    student_points: tuple[str, ...] = ()
    """Submodule paths of the student whose features are recorded."""
    teacher_points: tuple[str, ...] = ()
    """The same for the teacher, where the features are maps or tokens."""
    teacher_vectors: tuple[str, ...] = ()
    """Points of the teacher that give a vector, which is small enough to be cached."""
    ids: bool = False
    """Whether the ids of the images are read."""


class BuildContext(NamedTuple):
    """What is known before training starts, for terms that build something from it."""

    student: NetworkInfo
    teacher: NetworkInfo
    classes: int
    images: int
    """Number of training images."""
    ids: Tensor | None = None
    """Their ids [images] in a pack that also holds others; None where they are 0 to images - 1."""
    label_smoothing: float = 0.0


class Term(nn.Module, ABC):
    """A loss term. Subclasses set `name`, `settings` and `needs`, and implement `forward`."""

    name: ClassVar[str] = "term"
    """Name in the registry, for messages."""
    settings: WeightedLossConfig = WeightedLossConfig()
    """The settings the term was built from; on a class, the defaults."""
    needs: Needs = Needs()
    least: int = 1
    """Smallest batch on which the loss is defined, in images."""
    across_batch: bool = True
    """Whether images are compared with each other, so that all processes gather the whole batch. If False,
    the loss is a mean over images, and each process computes its own part.
    """
    staged: bool = False
    """Whether some steps leave some of the term's parameters without a gradient."""

    def __init__(self, settings: WeightedLossConfig | None = None) -> None:
        """Keep the settings; None takes the defaults.

        Raises:
            UsageError: a setting is out of its range.
        """
        super().__init__()
        if settings is not None:
            self.settings = settings
        validate(self.settings, f"losses.{self.name}.")

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term between two networks."""
        return cls(settings)

    @abstractmethod
    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the mean loss of the batch: a scalar in fp32 (fp64 for fp64 inputs)."""

    def teacher_logits(self, teacher: TeacherOutput) -> Tensor:
        """Return the teacher's logits [B, C].

        Raises:
            UsageError: there are none.
        """
        if teacher.logits is None:
            raise UsageError(f"the term {self.name} needs the logits of a teacher, and has none")
        return teacher.logits
