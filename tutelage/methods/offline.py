"""Offline distillation: the teacher is trained before the student (Hinton, Vinyals and Dean 2015).

Training without a teacher, as for teachers and controls, is the same with the label term alone.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from tutelage.losses.cross_entropy import LabelTerm
from tutelage.losses.term import Needs, Term
from tutelage.methods.method import LossWeighting
from tutelage.methods.single_student import SingleStudentMethod
from tutelage.methods.term_values import combined_needs, term_losses_of_each, terms_of
from tutelage.types import Batch, LossOutput, ModelOutput, Progress, TeacherOutput


class OfflineDistillation(SingleStudentMethod):
    """One student that minimises `sum of weight * term` for given teacher outputs."""

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        *,
        look: Callable[[Tensor], ModelOutput] | None = None,
        weighing: LossWeighting | None = None,
        further: Sequence[Mapping[str, Term]] = (),
        shares: Sequence[float] = (1.0,),
    ) -> None:
        """Initialize the method.

        Args:
            student: maps images to a `ModelOutput`.
            terms: terms by name, for the first teacher.
            weights: weight of each term.
            look: calls the student and records its features; None if no term needs any.
            weighing: schedule of the weights.
            further: for each teacher in `signal.others`, the terms that use a teacher.
            shares: weight of each teacher in such a term; they add up to 1.
        """
        super().__init__(student, terms, weights, look=look, weighing=weighing)
        self.further = nn.ModuleList(nn.ModuleDict(dict(more)) for more in further)
        self.shares = tuple(shares)

    @property
    def needs(self) -> Needs:
        """The union of the needs for all teachers; `needs_from` has those of one."""
        return combined_needs(term for terms in self._terms_by_teacher() for term in terms.values())

    def needs_from(self, teacher: int) -> Needs:
        """Return what the terms need from one of several teachers."""
        return combined_needs(self._terms_by_teacher()[teacher].values())

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Run the student once and compute every term."""
        output = self.say(batch.images)
        signals = (signal, *signal.others)[: len(self.shares)]
        found = term_losses_of_each(
            self._terms_by_teacher(), output, signals, self.shares, batch, progress, self.sharing
        )
        return self.outcome(output, found, batch)

    def _terms_by_teacher(self) -> list[dict[str, Term]]:
        further = [terms_of(more) for more in self.further if isinstance(more, nn.ModuleDict)]
        return [terms_of(self.terms), *further]


def supervised_training(student: nn.Module, *, label_smoothing: float) -> OfflineDistillation:
    """Build plain training by cross-entropy with the labels, for teachers and controls."""
    return OfflineDistillation(
        student, {"label": LabelTerm(smoothing=label_smoothing)}, {"label": 1.0}
    )
