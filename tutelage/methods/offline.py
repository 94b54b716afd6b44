"""Offline: the teacher is finished before the student begins (Hinton, Vinyals and Dean 2015).

Training with no teacher at all, as teachers and controls are trained, is the same with one term.
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
    """One student under a signal from outside, minimising `sum of weight * term`."""

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
        """Put a method together.

        Args:
            student: images -> Output.
            terms: by name.
            weights: of each of them.
            look: calls the student and records its features as well; None where no term asks for any.
            weighing: how the weights change in training.
            further: under teachers whose word stands in `signal.others`, the terms that hear a teacher.
            shares: of each teacher in such a term; they add up to 1.
        """
        super().__init__(student, terms, weights, look=look, weighing=weighing)
        self.further = nn.ModuleList(nn.ModuleDict(dict(more)) for more in further)
        self.shares = tuple(shares)

    @property
    def needs(self) -> Needs:
        """The union of what the terms want; each teacher is asked for its own by `needs_from`."""
        return combined_needs(term for terms in self._lessons() for term in terms.values())

    def needs_from(self, teacher: int) -> Needs:
        """What the terms under one of several teachers want of it."""
        return combined_needs(self._lessons()[teacher].values())

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Run the student once and hand its output to every term."""
        output = self.say(batch.images)
        signals = (signal, *signal.others)[: len(self.shares)]
        found = term_losses_of_each(
            self._lessons(), output, signals, self.shares, batch, progress, self.sharing
        )
        return self.outcome(output, found, batch)

    def _lessons(self) -> list[dict[str, Term]]:
        further = [terms_of(more) for more in self.further if isinstance(more, nn.ModuleDict)]
        return [terms_of(self.terms), *further]


def supervised_training(student: nn.Module, *, label_smoothing: float) -> OfflineDistillation:
    """Cross-entropy with the label alone: a teacher in the making, or a control."""
    return OfflineDistillation(
        student, {"label": LabelTerm(smoothing=label_smoothing)}, {"label": 1.0}
    )
