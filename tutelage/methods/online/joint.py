"""Joint training: teacher and student learn together from the start."""

from collections.abc import Sequence

from tutelage.config.loss_weights import weights
from tutelage.config.methods import Teaching
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.methods.factory import Lesson, terms_between, weighing
from tutelage.methods.online.peers import Beside, Learner, looking_at, word_of
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, Outcome, Progress, Signal

TEACHER_TERM = "teacher.label"


class Joint(Beside):
    """A teacher minimises the label, and a student its objective under what the teacher says at that moment.

        L = label(z_teacher) + sum of weight * term(z_student, sg z_teacher)

    No gradient of the student's terms reaches the teacher: it is trained as if it were alone, with the
    student's settings. It answers as in training, by the statistics of the batch.

    Zhou et al. 2018, Rocket launching, arXiv:1708.04106, with their gradient block: there the term is 0.03
    times the squared distance of the logits. The scheme: Gou et al. 2021, Knowledge distillation: a survey,
    arXiv:2006.05525, section 3.2. Where we differ: the two share no layers (they report that, too), and the
    student minimises any terms.
    """

    def forward(
        self,
        batch: Batch,
        signal: Signal,  # noqa: ARG002  the teacher is within
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> Outcome:
        """Run both once; the student is compared with the teacher and both with the labels."""
        teacher = self.say(1, batch.images)
        student = self.say(0, batch.images)
        terms = {
            **self.compared(0, student, [word_of(teacher)], batch, progress),
            **self.compared(1, teacher, [], batch, progress),
        }
        return self.outcome(student, terms, batch)


def build(
    settings: Teaching, student: Classifier, others: Sequence[Classifier], lesson: Lesson
) -> Joint:
    """The method of some settings; `others` is the teacher in the making.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    (teacher,) = others
    terms = terms_between(student, teacher, settings, lesson)
    label = {"label": LabelTerm(smoothing=lesson.label_smoothing)}
    learners = [
        Learner("", student, looking_at(student, [terms], []), [terms]),
        Learner("teacher", teacher, looking_at(teacher, [], [terms]), [label]),
    ]
    now = weighing(settings, lesson.epochs)
    return Joint(
        learners,
        {**weights(settings), TEACHER_TERM: 1.0},
        weighing=lambda progress: {**now(progress), TEACHER_TERM: 1.0},
    )
