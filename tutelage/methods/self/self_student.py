"""A student and its terms, under a word that does not come from outside: what self-distillation shares."""

from tutelage.losses.term import Needs
from tutelage.methods.single_student import Pupil
from tutelage.methods.term_values import compare, terms_in
from tutelage.types import Batch, Outcome, Output, Progress, Signal


class SelfTaught(Pupil):
    """Subclasses make a `Signal` of what they know, without a gradient, and hand it to `judged`.

    The signal that `forward` is given is not listened to.
    """

    @property
    def needs(self) -> Needs:
        """Nothing: nobody outside is asked."""
        return Needs()

    def judged(self, output: Output, signal: Signal, batch: Batch, progress: Progress) -> Outcome:
        """What the student said, compared with a word and the labels, over the whole batch."""
        found = compare(terms_in(self.terms), output, signal, batch, progress, self.sharing)
        return self.outcome(output, found, batch)
