"""Terms that compare features: where they look, and how they find what was recorded there."""

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor

from tutelage.config.loss_schedule import FeatureLossConfig, WeightedLossConfig
from tutelage.errors import UsageError
from tutelage.losses.layer_pairs import LayerPair, Wants, layer_pairs
from tutelage.losses.term import BuildContext, Needs, Term, term_arguments
from tutelage.types import ModelOutput, TeacherOutput


class FeatureTerm(Term):
    """A term over pairs of points. Subclasses say what they want and write `forward`."""

    name: ClassVar[str]
    """As in the table, for messages."""

    wants: ClassVar[Wants] = "stages"
    across_batch = False

    def __init__(self, pairs: Sequence[LayerPair]) -> None:
        super().__init__()
        self.pairs = tuple(pairs)
        teacher = [pair.teacher for pair in self.pairs]
        self.needs = Needs(
            student_points=tuple(pair.student.path for pair in self.pairs),
            teacher_points=tuple(point.path for point in teacher if len(point.shape) > 1),
            teacher_vectors=tuple(point.path for point in teacher if len(point.shape) == 1),
        )

    @classmethod
    def build(cls, settings: WeightedLossConfig, ground: BuildContext) -> Self:
        """The term of some settings, between points of two networks."""
        assert isinstance(settings, FeatureLossConfig)
        found = layer_pairs(cls.wants, settings, ground, term=cls.name)
        return cls(found, **term_arguments(settings))

    def features(self, student: ModelOutput, signal: TeacherOutput) -> list[tuple[Tensor, Tensor]]:
        """(student's, teacher's) features of each pair; the teacher's carry no gradient.

        Raises:
            UsageError: a teacher that does not show its features.
        """
        found = []
        for pair in self.pairs:
            if pair.teacher.path not in signal.features:
                raise UsageError(
                    f"the term {self.name} needs features of a teacher, and none are given",
                    expected=pair.teacher.path,
                )
            theirs = signal.features[pair.teacher.path].detach()
            found.append((student.features[pair.student.path], theirs))
        return found
