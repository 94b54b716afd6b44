"""Decoupled knowledge distillation: the target class and the other classes, each with its own weight."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import DKDConfig
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits, target_class
from tutelage.losses.response.target import TargetSplit, check_labels, labelled_mean, split_target
from tutelage.losses.term import Needs
from tutelage.types import Batch


@in_full_precision
def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float = 4.0,
    target: float = 1.0,
    rest: float = 8.0,
) -> Tensor:
    """Compute two divergences from the teacher, of the target's mass and among the other classes, times T^2.

        loss = T^2 (1 / n) sum_i (target TCKD_i + rest NCKD_i)

        TCKD_i = p_y log (p_y / q_y) + (1 - p_y) log ((1 - p_y) / (1 - q_y)),   y = y_i
        NCKD_i = sum_{k != y} p'_k log (p'_k / q'_k)

        p = softmax(teacher_logits_i / T),   p' = the same over the classes other than y;   q, q': the student

    The sum runs over the n rows whose label is known. A batch without labels, and logits of one class, which
    leaves no other, give exactly 0 with a gradient of 0. `kd_loss` is the same with target = 1 and
    rest = 1 - p_y, image by image: there a teacher that is sure silences its own dark knowledge.

    All stays in log space, from log p_y - log (1 - p_y), which is a difference of logits: value and gradient
    are finite where the target takes all mass. In fp32 (fp64 for fp64 logits); the teacher gets no gradient.

    Zhao et al. 2022, Decoupled knowledge distillation, arXiv:2203.08679, eq. 7. Where we differ: the authors'
    code hides the target behind a logit of -1000 and takes the log of a softmax. Their first 20 epochs raise
    the weight from 0; here that is the term's `warmup_epochs`.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        labels: [B] int64 in 0 .. C - 1, or -1 where unknown.
        temperature: T, above 0; larger is softer.
        target: weight of the first divergence (the paper's alpha).
        rest: weight of the second (the paper's beta).

    Returns:
        A scalar, summed over classes and averaged over the labelled rows, in nats times T^2.

    Raises:
        InputError: the shapes differ or are not [B, C], or labels are not int64 [B].
        UsageError: the temperature is not a finite number above 0.
    """
    check_logits(student_logits, teacher_logits)
    check_labels(student_logits, labels)
    check_temperature(temperature)
    if student_logits.shape[1] == 1:
        return student_logits.sum() * 0.0
    mine, theirs = split_target(student_logits / temperature, teacher_logits / temperature, labels)
    tckd = _divergence(_target_or_not(theirs), _target_or_not(mine))
    nckd = _divergence(theirs.others.log_softmax(1), mine.others.log_softmax(1))
    return labelled_mean(target * tckd + rest * nckd, labels) * temperature**2


def _target_or_not(logits: TargetSplit) -> Tensor:
    """Return log p_y and log (1 - p_y), [B, 2]."""
    odds = logits.log_odds
    return torch.stack((F.logsigmoid(odds), F.logsigmoid(-odds)), dim=1)


def _divergence(log_of: Tensor, log_from: Tensor) -> Tensor:
    """Compute KL(of || from) of each row [B]. A class of probability 0 adds 0, to the gradient too."""
    return F.kl_div(log_from, log_of, reduction="none", log_target=True).sum(1)


class DKDTerm(LogitTerm):
    """`dkd_loss` as a term; of a view made of two images, the label of the larger share counts."""

    name = "dkd"
    settings: DKDConfig = DKDConfig()
    needs = Needs(teacher_logits=True, labels=True)
    # A mean over labelled images, whose number differs between processes.
    across_batch = True

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `dkd_loss` of logits [B, C] and the batch's labels."""
        return dkd_loss(
            student,
            teacher,
            target_class(batch),
            temperature=self.settings.temperature,
            target=self.settings.target,
            rest=self.settings.rest,
        )
