"""Offline: the teacher is finished before the student begins (Hinton, Vinyals and Dean 2015).

Training with no teacher at all, as teachers and controls are trained, is the same with one term.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from tutelage.losses.features import FeatureTerm
from tutelage.losses.label import LabelTerm
from tutelage.losses.term import Needs, Term
from tutelage.methods.method import Method, Weighing
from tutelage.nouns import Batch, Outcome, Output, Progress, Signal


class Offline(Method):
    """One student under a signal from outside, minimising `sum of weight * term`."""

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        *,
        look: Callable[[Tensor], Output] | None = None,
        weighing: Weighing | None = None,
    ) -> None:
        """Put a method together.

        Args:
            student: pictures -> Output.
            terms: by name.
            weights: of each of them.
            look: calls the student and records its features as well; None where no term asks for any.
            weighing: how the weights change in training.
        """
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(dict(terms))
        self.weights = dict(weights)
        self.weighing = weighing
        self._look = look

    @property
    def needs(self) -> Needs:
        """The union of what the terms want."""
        needs = [term.needs for term in self._terms().values()]
        return Needs(
            teacher_logits=any(n.teacher_logits for n in needs),
            labels=any(n.labels for n in needs),
            student_points=tuple(p for n in needs for p in n.student_points),
            teacher_points=tuple(p for n in needs for p in n.teacher_points),
            teacher_vectors=tuple(p for n in needs for p in n.teacher_vectors),
            ids=any(n.ids for n in needs),
        )

    @property
    def partial(self) -> bool:
        """Stages of a term leave some of its parameters alone; features alone, what comes after them."""
        terms = self._terms().values()
        return any(t.staged for t in terms) or all(isinstance(t, FeatureTerm) for t in terms)

    def forward(self, batch: Batch, signal: Signal, progress: Progress) -> Outcome:
        """Run the student once and hand its output to every term.

        Terms that compare pictures with each other see those of all processes; the others are means over
        pictures, and each process computes its own.
        """
        output = self.student(batch.images) if self._look is None else self._look(batch.images)
        terms = self._terms()
        points = {p for term in terms.values() if term.across_batch for p in _points(term.needs)}
        whole = self.together(output, signal, batch, points)
        found = {
            name: term(*whole, progress)
            if term.across_batch
            else self._mean(term(output, signal, batch, progress), batch)
            for name, term in terms.items()
        }
        # Only the terms are differentiated; logits with a graph would look like another way to the loss.
        return Outcome(logits=whole[0].logits.detach(), labels=whole[2].labels, terms=found)

    def _mean(self, value: Tensor, batch: Batch) -> Tensor:
        """A mean over this process's pictures -> over those of all."""
        if self.average is None or batch.whole is None:
            return value
        return self.average(value, len(batch.ids) / batch.whole)

    def _terms(self) -> dict[str, Term]:
        return {name: term for name, term in self.terms.items() if isinstance(term, Term)}


def _points(needs: Needs) -> tuple[str, ...]:
    return (*needs.student_points, *needs.teacher_points, *needs.teacher_vectors)


def supervised(student: nn.Module, *, label_smoothing: float) -> Offline:
    """Cross-entropy with the label alone: a teacher in the making, or a control."""
    return Offline(student, {"label": LabelTerm(smoothing=label_smoothing)}, {"label": 1.0})
