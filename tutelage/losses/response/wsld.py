"""Weighted soft labels: the teacher counts less where the student already does better."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import WSLDConfig
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits, target_class
from tutelage.losses.response.target import check_labels, labelled_mean, split_target
from tutelage.losses.term import Needs
from tutelage.types import Batch

_SURE = 40.0
"""Above it, log(1 + e^-x) equals e^-x to the last digit of float64."""


@in_full_precision
def wsld_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float = 2.0
) -> Tensor:
    """Compute the divergence of softened probabilities, weighted by how the student does beside the teacher.

        loss = T^2 (1 / n) sum_i w_i sum_k p_ik (log p_ik - log q_ik)

        p = softmax(teacher_logits / T),   q = softmax(student_logits / T)
        w_i = 1 - exp(-ce(student)_i / ce(teacher)_i),   ce(z)_i = -log softmax(z)_i,label(i)   (at T = 1)

    w lies in [0, 1]: near 0 where the student is surer of the label than the teacher, 1 - 1/e where they are
    alike, and 1 where the teacher is sure and the student is not. No gradient passes through it. Rows with
    label -1 have no w and are left out: the sum is over the n others, and without any the loss is exactly 0,
    with a gradient of exactly 0. Computed in log space, in fp32 (fp64 for fp64 student logits). No gradient
    goes to the teacher.

    Zhou et al. 2021, Rethinking soft labels for knowledge distillation: a bias-variance tradeoff perspective,
    arXiv:2102.00650. Where we differ: the authors' code weights the cross-entropy with p instead of the
    divergence, which has the same gradient but is not 0 where student and teacher agree; and it adds 1e-7
    below the fraction, which turns w into 0 where both networks are sure. Here the fraction is computed from
    logarithms, and right for margins of any size. The weight alpha and the loss on the labels are left out.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        labels: [B] int64 in 0 .. C - 1, or -1 where unknown.
        temperature: T, above 0.

    Returns:
        A scalar, summed over classes and averaged over the labelled rows, in nats times T^2.

    Raises:
        InputError: the shapes differ or are not [B, C], or the labels do not fit.
        UsageError: the temperature is not a finite number above 0.
    """
    check_logits(student_logits, teacher_logits)
    check_temperature(temperature)
    check_labels(student_logits, labels)
    teacher_logits = teacher_logits.detach().to(student_logits)
    log_q = F.log_softmax(student_logits / temperature, dim=1)
    log_p = F.log_softmax(teacher_logits / temperature, dim=1)
    rows = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    weights = _weights(student_logits.detach(), teacher_logits, labels)
    return temperature**2 * labelled_mean(weights * rows, labels)


def _weights(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Return 1 - exp(-ce(student) / ce(teacher)) of each row [B]."""
    mine, theirs = split_target(student, teacher, labels)
    fraction = (_log_cross_entropy(mine.log_odds) - _log_cross_entropy(theirs.log_odds)).exp()
    return -torch.expm1(-fraction)


def _log_cross_entropy(log_odds: Tensor) -> Tensor:
    """Compute the logarithm of the cross-entropy of rows [B] with these log odds of the label.

    A row that is sure of its label has a cross-entropy of 0 in fp32, and 0 / 0 is no weight. But with log
    odds of x, it is log(1 + e^-x), whose logarithm tends to -x.
    """
    # A single class has infinite odds; its divergence is 0, so any finite number does.
    log_odds = log_odds.clamp(max=torch.finfo(log_odds.dtype).max / 4)
    softplus = F.softplus(-log_odds.clamp(max=_SURE), threshold=_SURE)
    return torch.where(log_odds > _SURE, -log_odds, softplus.log())


class WSLDTerm(LogitTerm):
    """`wsld_loss` as a term; of a view made of two images, the label of the larger share counts."""

    name = "wsld"
    settings: WSLDConfig = WSLDConfig()
    needs = Needs(teacher_logits=True, labels=True)
    # A mean over labelled images, whose number differs between processes.
    across_batch = True

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `wsld_loss` of logits [B, C], with weights from the same logits."""
        labels, temperature = target_class(batch), self.settings.temperature
        return wsld_loss(student, teacher, labels, temperature=temperature)
