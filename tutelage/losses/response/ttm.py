"""Transformed teacher matching: a temperature on the teacher alone, and its weighted form."""

from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import TTMConfig
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch


@in_full_precision
def ttm_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 4.0,
    weighted: bool = False,
) -> Tensor:
    """Compute the divergence from the teacher's softened probabilities to the student's own.

        loss = (1 / B) sum_i u_i sum_k r_ik (log r_ik - log q_ik)

        r_ik = p_ik^(1/T) / u'_i = softmax(teacher_logits / T)_ik,   p = softmax(teacher_logits)
        u'_i = sum_k p_ik^(1/T),   q = softmax(student_logits)
        u_i = u'_i with `weighted` (WTTM), else 1 (TTM)

    u' lies between 1 for a teacher that is sure and C^(1 - 1/T) for one that is undecided. The gradient is
    (u / B) (q - r), whose size does not fall with T, so there is no factor T^2 (the paper's weight beta is
    T alpha / (1 - alpha) where the loss on the labels has weight 1). The loss is 0 where the student's logits
    are the teacher's divided by T. At T = 1 both forms are the divergence of `kd_loss` at T = 1. Computed in
    log space, in fp32 (fp64 for fp64 student logits). No gradient goes to the teacher.

    Zheng and Yang 2024, Knowledge distillation based on transformed teacher matching, arXiv:2402.11148,
    sections 3.2 and 4: as published; the weight beta and the loss on the labels are not in here. Their code
    sets the exponent gamma = 1 / T.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        temperature: T, above 0; the paper uses 1 and more.
        weighted: whether each image counts by u'.

    Returns:
        A scalar, summed over classes and averaged over the batch (not over the sum of the weights), in nats.

    Raises:
        InputError: the shapes differ or are not [B, C].
        UsageError: the temperature is not a finite number above 0.
    """
    check_logits(student_logits, teacher_logits)
    check_temperature(temperature)
    log_q = F.log_softmax(student_logits, dim=1)
    log_p = F.log_softmax(teacher_logits.detach().to(log_q), dim=1)
    log_u = (log_p / temperature).logsumexp(1)
    log_r = log_p / temperature - log_u[:, None]
    rows = F.kl_div(log_q, log_r, reduction="none", log_target=True).sum(1)
    return (log_u.exp() * rows if weighted else rows).mean()


class TTMTerm(LogitTerm):
    """`ttm_loss` as a term."""

    name = "ttm"
    settings: TTMConfig = TTMConfig()
    across_batch = False

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `ttm_loss` of logits [B, C]."""
        temperature, weighted = self.settings.temperature, self.settings.weighted
        return ttm_loss(student, teacher, temperature=temperature, weighted=weighted)
