"""Terms that compare features: the points they read, and the features recorded there."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from tutelage.config.loss_schedule import FeatureLossConfig, WeightedLossConfig
from tutelage.errors import UsageError
from tutelage.losses.layer_pairs import LayerPair, Wants, layer_pairs
from tutelage.losses.term import BuildContext, Needs, Term
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


class FeatureTerm(Term):
    """A term over pairs of points. Subclasses set `wants` and implement `forward`."""

    settings: WeightedLossConfig = FeatureLossConfig()
    wants: ClassVar[Wants] = "stages"
    across_batch = False

    def __init__(
        self, pairs: Sequence[LayerPair], settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(settings)
        self.pairs = tuple(pairs)
        teacher = [pair.teacher for pair in self.pairs]
        self.needs = Needs(
            student_points=tuple(pair.student.path for pair in self.pairs),
            teacher_points=tuple(point.path for point in teacher if len(point.shape) > 1),
            teacher_vectors=tuple(point.path for point in teacher if len(point.shape) == 1),
        )

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term between points of two networks."""
        return cls(cls.find_pairs(settings, context), settings)

    @classmethod
    def find_pairs(
        cls, settings: WeightedLossConfig, context: BuildContext
    ) -> tuple[LayerPair, ...]:
        """Return the pairs of points to compare, as `layer_pairs` does."""
        assert isinstance(settings, FeatureLossConfig)
        return layer_pairs(cls.wants, settings, context, term=cls.name)

    def features(self, student: ModelOutput, teacher: TeacherOutput) -> list[tuple[Tensor, Tensor]]:
        """Return the (student's, teacher's) features of each pair; the teacher's carry no gradient.

        Raises:
            UsageError: the teacher provides no features at a point.
        """
        found = []
        for pair in self.pairs:
            if pair.teacher.path not in teacher.features:
                raise UsageError(
                    f"the term {self.name} needs features of a teacher, and has none",
                    expected=pair.teacher.path,
                )
            theirs = teacher.features[pair.teacher.path].detach()
            found.append((student.features[pair.student.path], theirs))
        return found


class PairTerm(FeatureTerm):
    """A feature term whose loss is a sum over its pairs of points. Subclasses implement `compare`."""

    @abstractmethod
    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of the features of one pair, a scalar.

        Args:
            number: of the pair, from 0.
            student: its features, [B, ...].
            teacher: the teacher's, without gradient.
        """

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points.

        Raises:
            UsageError: the teacher provides no features at a point.
            InputError: features of a shape that the loss cannot compare.
        """
        features = enumerate(self.features(student, teacher))
        return torch.stack([self.compare(i, mine, theirs) for i, (mine, theirs) in features]).sum()
