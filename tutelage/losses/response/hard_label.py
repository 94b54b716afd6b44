"""DeiT's hard distillation: the teacher's most probable class, used as the label."""

from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch


@in_full_precision
def hard_label_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Compute the cross-entropy of the student with the teacher's most probable class.

        loss = -(1 / B) sum_i log q_i,y(i),   y(i) = arg max_k t_ik,   q = softmax(student_logits)

    Where several classes are equally probable, y is the first of them. The gradient is (q - one-hot) / B. The
    loss is not 0 at equality: a student that is less sure than a one-hot target still learns. Computed in log
    space, in fp32 (fp64 for fp64 student logits). No gradient goes to the teacher.

    Touvron et al. 2021, Training data-efficient image transformers and distillation through attention,
    arXiv:2012.12877, eq. 3. Where we differ: the halves with which it counts the label and this target are
    weights, and not in here; nor is the smoothing of the labels.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.

    Returns:
        A scalar, averaged over the batch, in nats.

    Raises:
        InputError: the shapes differ or are not [B, C].
    """
    check_logits(student_logits, teacher_logits)
    return F.cross_entropy(student_logits, teacher_logits.argmax(1).to(student_logits.device))


class HardLabelTerm(LogitTerm):
    """`hard_label_loss` as a term."""

    name = "hard_label"
    across_batch = False

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `hard_label_loss` of logits [B, C]."""
        return hard_label_loss(student, teacher)
