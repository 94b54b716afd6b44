"""Normalised knowledge distillation: the target's soft label, and the other classes among themselves."""

from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import NKDConfig
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits, target_class
from tutelage.losses.response.target import check_labels, labelled_mean, split_target
from tutelage.losses.term import Needs
from tutelage.types import Batch


@in_full_precision
def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float = 1.0,
    rest: float = 1.5,
) -> Tensor:
    """Compute cross-entropies with the teacher: of the target class, and among the other classes.

        loss = (1 / n) sum_i [-p_y log q_y - rest T^2 sum_{k != y} p'_k log q'_k],   y = y_i

        p = softmax(teacher_logits_i),   p' = softmax(teacher_logits_i / T) over k != y;   q, q': the student

    KD compares probabilities of the other classes that add up to 1 - p_y and 1 - q_y; p' and q' both add up
    to 1. T softens only them. The sum runs over the n rows whose label is known. A batch without labels, and
    logits of one class, which leaves no other, give exactly 0 with a gradient of 0.

    These are cross-entropies, not divergences: a student that equals its teacher still has a loss, and the
    first one still pulls q_y towards 1, with the teacher's p_y as its weight. It comes beside the
    cross-entropy with the label. In log space, in fp32 (fp64 for fp64 logits); the teacher gets no gradient.

    Yang et al. 2023, From knowledge distillation to self-knowledge distillation, arXiv:2303.13005, section 3
    (its gamma is `rest`, its lambda is T).

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        labels: [B] int64 in 0 .. C - 1, or -1 where unknown.
        temperature: T of the other classes, above 0; larger is softer.
        rest: weight of the other classes.

    Returns:
        A scalar, summed over classes and averaged over the labelled rows, in nats.

    Raises:
        InputError: the shapes differ or are not [B, C], or labels are not int64 [B].
        UsageError: the temperature is not a finite number above 0.
    """
    check_logits(student_logits, teacher_logits)
    check_labels(student_logits, labels)
    check_temperature(temperature)
    if student_logits.shape[1] == 1:
        return student_logits.sum() * 0.0
    mine, theirs = split_target(student_logits, teacher_logits, labels)
    of_target = theirs.log_odds.sigmoid() * F.logsigmoid(mine.log_odds)
    soft = (theirs.others / temperature).softmax(1)
    of_others = (soft * (mine.others / temperature).log_softmax(1)).sum(1)
    return labelled_mean(-of_target - rest * temperature**2 * of_others, labels)


class NKDTerm(LogitTerm):
    """`nkd_loss` as a term; of a view made of two images, the label of the larger share counts."""

    name = "nkd"
    settings: NKDConfig = NKDConfig()
    needs = Needs(teacher_logits=True, labels=True)
    # A mean over labelled images, whose number differs between processes.
    across_batch = True

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `nkd_loss` of logits [B, C] and the batch's labels."""
        labels, temperature = target_class(batch), self.settings.temperature
        return nkd_loss(student, teacher, labels, temperature=temperature, rest=self.settings.rest)
