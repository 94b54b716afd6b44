"""Multi-level logits: probabilities compared by image, by pairs of images and by pairs of classes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import MLKDConfig
from tutelage.errors import UsageError
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


@in_full_precision
def mlkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
) -> Tensor:
    """Compute three comparisons of softened probabilities, summed over several temperatures.

        loss = sum_T  T^2 (1 / B) sum_i sum_k p_ik (log p_ik - log q_ik)      each image
                    + (1 / B) || q q' - p p' ||^2                             [B, B], pairs of images
                    + (1 / C) || q' q - p' p ||^2                             [C, C], pairs of classes

        p = softmax(teacher_logits / T),   q = softmax(student_logits / T),   [B, C];   ' transposes

    || . ||^2 is the sum of squares. The temperatures are summed, not averaged, and only the divergence has
    the factor T^2. With a batch of one the second line compares two numbers. Computed in log space, in fp32
    (fp64 for fp64 student logits). No gradient goes to the teacher.

    Jin, Wang, Lin 2023, Multi-level logit distillation, CVPR. Where we differ: the paper adds the losses of a
    weakly and of a strongly changed view of each image; this is the loss of the one view in the batch. The
    authors' code has masks for the half of the images, and of the classes, of which the teacher is least
    sure, but multiplies them by numbers that are means already: they halve the weight and choose nothing, so
    they are left out.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        temperatures: each T above 0; at least one.

    Returns:
        A scalar.

    Raises:
        InputError: the shapes differ or are not [B, C].
        UsageError: no temperature, or one that is not a finite number above 0.
    """
    check_logits(student_logits, teacher_logits)
    _check_temperatures(temperatures)
    teacher_logits = teacher_logits.detach().to(student_logits)
    return torch.stack([_levels(student_logits, teacher_logits, t) for t in temperatures]).sum()


def _levels(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute the three comparisons at one temperature, without a matrix [C, C].

    With d = q - p and s = q + p, 2 (q q' - p p') = d s' + s d' and 2 (q' q - p' p) = d' s + s' d. Then the
    sum of squares of the second is that of d' s (sum of d d' * s s') and the trace of d' s d' s (sum of d s'
    * s d'), halved: products [B, B]. All of them are small where p and q are near each other, so that nothing
    is lost in a difference of large numbers.
    """
    log_q = F.log_softmax(student / temperature, dim=1)
    log_p = F.log_softmax(teacher / temperature, dim=1)
    divergence = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    q, p = log_q.exp(), log_p.exp()
    d, s = q - p, q + p
    cross = d @ s.T
    images = (cross + cross.T).square().sum() / 4
    classes = ((d @ d.T) * (s @ s.T) + cross * cross.T).sum() / 2
    return divergence * temperature**2 + images / q.shape[0] + classes / q.shape[1]


def _check_temperatures(temperatures: Sequence[float]) -> None:
    if not temperatures:
        raise UsageError(
            "mlkd sums its loss over temperatures, and there is none",
            expected="at least one",
            fix="2 3 4 5 6 as published",
        )
    for temperature in temperatures:
        check_temperature(temperature)


class MLKDTerm(LogitTerm):
    """`mlkd_loss` as a term."""

    name = "mlkd"
    settings: MLKDConfig = MLKDConfig()
    across_batch = True

    def __init__(self, settings: MLKDConfig | None = None) -> None:
        super().__init__(settings)
        _check_temperatures(self.settings.temperatures)

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `mlkd_loss` of logits [B, C]."""
        return mlkd_loss(student, teacher, temperatures=self.settings.temperatures)
