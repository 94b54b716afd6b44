"""The base of self-distillation: one student whose targets come from itself."""

from tutelage.losses.term import Needs
from tutelage.methods.single_student import SingleStudentMethod
from tutelage.methods.term_values import term_losses, terms_of
from tutelage.types import Batch, LossOutput, ModelOutput, Progress, TeacherOutput


class SelfStudentMethod(SingleStudentMethod):
    """Subclasses compute a `TeacherOutput` without a gradient and pass it to `judged`.

    The signal given to `forward` is not used.
    """

    @property
    def needs(self) -> Needs:
        """Nothing: there is no outside teacher."""
        return Needs()

    def judged(
        self, output: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> LossOutput:
        """Compare the student's output with a teacher's and the labels, over the whole batch."""
        found = term_losses(terms_of(self.terms), output, signal, batch, progress, self.sharing)
        return self.outcome(output, found, batch)
