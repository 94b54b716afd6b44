"""Joint training: teacher and student are trained together from the start."""

from collections.abc import Sequence

from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.online.peers import Peer, PeerMethod, observed, teacher_output_of
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, LossOutput, Progress, TeacherOutput

TEACHER_TERM = "teacher.label"


class JointTraining(PeerMethod):
    """A teacher minimises its label loss, and a student its objective for the teacher's current output.

        L = label(z_teacher) + sum of weight * term(z_student, sg z_teacher)

    No gradient of the student's terms reaches the teacher: it is trained as if it were alone, with the
    student's settings, and its output for the student uses the statistics of the batch.

    Zhou et al. 2018, Rocket launching, arXiv:1708.04106, with their gradient block: there the term is 0.03
    times the squared distance of the logits. The scheme: Gou et al. 2021, Knowledge distillation: a survey,
    arXiv:2006.05525, section 3.2. Where we differ: the two share no layers (they report that, too), and the
    student minimises any terms.
    """

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  the teacher is inside
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Run both networks once; compare the student with the teacher, and both with the labels."""
        teacher = self.say(1, batch.images)
        student = self.say(0, batch.images)
        terms = {
            **self.compared(0, student, [teacher_output_of(teacher)], batch, progress),
            **self.compared(1, teacher, [], batch, progress),
        }
        return self.outcome(student, terms, batch)


def build_joint(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], facts: TrainingFacts
) -> JointTraining:
    """Build the method from settings; `others` is the teacher to be trained.

    Raises:
        UsageError: points that do not exist, or a term that does not fit these networks.
    """
    (teacher,) = others
    terms = build_terms_between(student, teacher, settings, facts)
    label = {"label": LabelTerm(smoothing=facts.label_smoothing)}
    learners = [
        Peer("", student, observed(student, [terms], []), [terms]),
        Peer("teacher", teacher, observed(teacher, [], [terms]), [label]),
    ]
    now = loss_weighting(settings, facts.epochs)
    return JointTraining(
        learners,
        {**loss_weights(settings), TEACHER_TERM: 1.0},
        weighing=lambda progress: {**now(progress), TEACHER_TERM: 1.0},
    )
