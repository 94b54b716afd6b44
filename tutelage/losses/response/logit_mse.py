"""Ba and Caruana: the student's logits equal the teacher's, with no softmax between them."""

from torch import Tensor

from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch


@in_full_precision
def logit_mse_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Compute half the squared distance of the logits of an image, averaged over the batch.

        loss = (1 / 2B) sum_i sum_k (s_ik - t_ik)^2

    The gradient is (s - t) / B. Unlike a divergence it sees a constant added to a row. Computed in fp32 (fp64
    for fp64 logits). No gradient goes to the teacher.

    Ba and Caruana 2014, Do deep nets really need to be deep?, arXiv:1312.6184, eq. 1: as published. It is
    C / 2 times the mean over all B C numbers, which is what much code calls logit matching.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.

    Returns:
        A scalar, summed over classes and averaged over the batch.

    Raises:
        InputError: the shapes differ or are not [B, C].
    """
    check_logits(student_logits, teacher_logits)
    apart = student_logits - teacher_logits.detach().to(student_logits)
    return apart.square().sum() / (2 * len(apart))


class LogitMSETerm(LogitTerm):
    """`logit_mse_loss` as a term."""

    name = "logit_mse"
    across_batch = False

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `logit_mse_loss` of logits [B, C]."""
        return logit_mse_loss(student, teacher)
