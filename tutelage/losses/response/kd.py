"""Knowledge distillation in its first form: match the teacher's softened probabilities."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.errors import InputError, UsageError
from tutelage.losses.term import Needs, Term
from tutelage.nouns import Batch, Output, Signal


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0) -> Tensor:
    """Divergence of the student's softened probabilities from the teacher's, times T^2.

        loss = T^2 (1 / B) sum_i sum_k p_ik (log p_ik - log q_ik)
        p = softmax(teacher_logits / T),   q = softmax(student_logits / T)

    Its gradient is (T / B) (q - p): the factor T^2 keeps its size when T changes, and for large T
    it tends to the difference of the centred logits, divided by B C. Both sides stay in log space,
    in fp32 (fp64 for fp64 student logits), so that value and gradient are finite for logits as
    large as half precision holds. No gradient goes to the teacher.

    Hinton, Vinyals, Dean 2015, arXiv:1503.02531, sections 2 and 2.1 (eq. 2 to 4). Where we differ:
    the paper writes the cross-entropy with the soft targets; the divergence is that less the
    entropy of the teacher, so the gradient is the same and the value is 0 where student and
    teacher agree. The weight alpha and the loss on the labels are not in here.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        temperature: T, above 0; larger is softer.

    Returns:
        A scalar, summed over classes and averaged over the batch, in nats times T^2.

    Raises:
        InputError: the shapes differ or are not [B, C].
        UsageError: the temperature is not a finite number above 0.
    """
    if student_logits.ndim != 2 or student_logits.shape != teacher_logits.shape:
        raise InputError(
            "student and teacher logits differ in shape",
            found=f"student {list(student_logits.shape)}, teacher {list(teacher_logits.shape)}",
            expected="both [B, C]",
            fix="a teacher with the student's classes",
        )
    _check_temperature(temperature)
    precision = torch.promote_types(student_logits.dtype, torch.float32)
    log_student = F.log_softmax(student_logits.to(precision) / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.detach().to(precision) / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


class KDTerm(Term):
    """`kd_loss` as a term."""

    needs = Needs(teacher_logits=True)

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        _check_temperature(temperature)
        self.temperature = temperature

    def forward(self, student: Output, signal: Signal, batch: Batch) -> Tensor:  # noqa: ARG002
        """Compare the student's logits [B, C] with the teacher's.

        Raises:
            UsageError: the signal carries no logits.
        """
        if signal.logits is None:
            raise UsageError("the term kd needs the logits of a teacher, and none is given")
        return kd_loss(student.logits, signal.logits, temperature=self.temperature)


def _check_temperature(temperature: float) -> None:
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise UsageError(
            "the temperature is out of range",
            found=temperature,
            expected="a finite number above 0",
            fix="4 as usual; 1 leaves the probabilities as they are",
        )
