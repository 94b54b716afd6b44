"""Knowledge distillation in its first form: match the teacher's softened probabilities."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import KDConfig
from tutelage.errors import UsageError, suggest
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch

Direction = Literal["forward", "reverse", "jensen-shannon"]


@in_full_precision
def kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 4.0,
    direction: Direction = "forward",
) -> Tensor:
    """Compute the divergence between the student's and the teacher's softened probabilities, times T^2.

        forward          T^2 (1 / B) sum_i sum_k p_ik (log p_ik - log q_ik)
        reverse          T^2 (1 / B) sum_i sum_k q_ik (log q_ik - log p_ik)
        jensen-shannon   T^2 (1 / B) sum_i [KL(p_i || m_i) + KL(q_i || m_i)] / 2,   m = (p + q) / 2

        p = softmax(teacher_logits / T),   q = softmax(student_logits / T)

    The forward gradient is (T / B) (q - p): the factor T^2 keeps its size when T changes, and for large T
    it tends to the difference of the centred logits, divided by B C. Jensen-Shannon is at most T^2 log 2.
    All stay in log space, in fp32 (fp64 for fp64 student logits), so that value and gradient are finite
    for logits as large as half precision holds. No gradient goes to the teacher.

    Hinton, Vinyals, Dean 2015, arXiv:1503.02531, sections 2 and 2.1 (eq. 2 to 4). Where we differ:
    the paper writes the cross-entropy with the soft targets; the divergence is that less the
    entropy of the teacher, so the gradient is the same and the value is 0 where student and
    teacher agree. The weight alpha and the loss on the labels are not in here. The other directions: Agarwal
    et al. 2024, arXiv:2306.13649, section 2 (there for sequences, and without T^2).

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        temperature: T, above 0; larger is softer.
        direction: which divergence.

    Returns:
        A scalar, summed over classes and averaged over the batch, in nats times T^2.

    Raises:
        InputError: the shapes differ or are not [B, C].
        UsageError: the temperature is not a finite number above 0, or there is no such direction.
    """
    check_logits(student_logits, teacher_logits)
    check_temperature(temperature)
    _check_direction(direction)
    log_q = F.log_softmax(student_logits / temperature, dim=1)
    log_p = F.log_softmax(teacher_logits.detach().to(log_q) / temperature, dim=1)
    if direction == "forward":
        divergence = _divergence(log_p, log_q)
    elif direction == "reverse":
        divergence = _divergence(log_q, log_p)
    else:
        middle = torch.logaddexp(log_p, log_q) - math.log(2)
        divergence = (_divergence(log_p, middle) + _divergence(log_q, middle)) / 2
    return divergence * temperature**2


def _divergence(log_of: Tensor, log_from: Tensor) -> Tensor:
    """Compute KL(of || from), batch mean. A class of probability 0 adds 0, to the gradient too."""
    return F.kl_div(log_from, log_of, reduction="batchmean", log_target=True)


def _check_direction(direction: str) -> None:
    if direction not in get_args(Direction):
        raise UsageError(
            "kd has no such direction",
            found=direction,
            expected=suggest(direction, get_args(Direction)),
        )


class KDTerm(LogitTerm):
    """`kd_loss` as a term."""

    name = "kd"
    settings: KDConfig = KDConfig()
    across_batch = False

    def __init__(self, settings: KDConfig | None = None) -> None:
        super().__init__(settings)
        _check_direction(self.settings.direction)

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `kd_loss` of logits [B, C]."""
        temperature, direction = self.settings.temperature, self.settings.direction
        return kd_loss(student, teacher, temperature=temperature, direction=direction)
