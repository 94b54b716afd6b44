"""A student and its terms, under a word that does not come from outside: what self-distillation shares."""

from tutelage.losses.term import Needs
from tutelage.methods.single_student import SingleStudentMethod
from tutelage.methods.term_values import term_losses, terms_of
from tutelage.types import Batch, LossOutput, ModelOutput, Progress, TeacherOutput


class SelfStudentMethod(SingleStudentMethod):
    """Subclasses make a `TeacherOutput` of what they know, without a gradient, and hand it to `judged`.

    The signal that `forward` is given is not listened to.
    """

    @property
    def needs(self) -> Needs:
        """Nothing: nobody outside is asked."""
        return Needs()

    def judged(
        self, output: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> LossOutput:
        """What the student said, compared with a word and the labels, over the whole batch."""
        found = term_losses(terms_of(self.terms), output, signal, batch, progress, self.sharing)
        return self.outcome(output, found, batch)
