"""Offline: the teacher is finished before the student begins (Hinton, Vinyals and Dean 2015).

Training with no teacher at all, as teachers and controls are trained, is the same with one term.
"""

from collections.abc import Mapping

from torch import nn

from tutelage.losses.label import LabelTerm
from tutelage.losses.term import Needs, Term
from tutelage.methods.method import Method
from tutelage.nouns import Batch, Outcome, Progress, Signal


class Offline(Method):
    """One student under a signal from outside, minimising `sum of weight * term`."""

    def __init__(
        self, student: nn.Module, terms: Mapping[str, Term], weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(dict(terms))
        self.weights = dict(weights)

    @property
    def needs(self) -> Needs:
        """The union of what the terms want."""
        needs = [term.needs for term in self.terms.values() if isinstance(term, Term)]
        return Needs(
            teacher_logits=any(n.teacher_logits for n in needs),
            labels=any(n.labels for n in needs),
            student_points=tuple(p for n in needs for p in n.student_points),
            teacher_points=tuple(p for n in needs for p in n.teacher_points),
            teacher_pooled=tuple(p for n in needs for p in n.teacher_pooled),
            ids=any(n.ids for n in needs),
        )

    def forward(self, batch: Batch, signal: Signal, _progress: Progress) -> Outcome:
        """Run the student once and hand its output to every term."""
        output, signal, batch = self.together(self.student(batch.images), signal, batch)
        terms = {name: term(output, signal, batch) for name, term in self.terms.items()}
        return Outcome(logits=output.logits, labels=batch.labels, terms=terms)


def supervised(student: nn.Module, *, label_smoothing: float) -> Offline:
    """Cross-entropy with the label alone: a teacher in the making, or a control."""
    return Offline(student, {"label": LabelTerm(smoothing=label_smoothing)}, {"label": 1.0})
