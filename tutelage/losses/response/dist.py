"""DIST: probabilities correlate with the teacher's, along each image and along each class."""

import torch
from torch import Tensor

from tutelage.config.losses.response import DISTConfig
from tutelage.errors import InputError
from tutelage.losses.checks import check_temperature
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch

LEAST_SPREAD = 1e-3
"""Numbers that differ from their mean by less than this share of themselves count as nearly equal."""

_LEAST_SQUARE = 1e-30
"""Keeps the root away from 0 where all numbers are 0."""


@in_full_precision
def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 1.0,
    inter: float = 2.0,
    intra: float = 2.0,
) -> Tensor:
    """Compute how far probabilities are from correlating with the teacher's, by image and by class.

        loss = T^2 [inter (1 - (1 / B) sum_i rho(q_i., p_i.)) + intra (1 - (1 / C) sum_k rho(q_.k, p_.k))]

        p = softmax(teacher_logits / T),   q = softmax(student_logits / T),   rho: `pearson_correlation`

    The first part does not change when an image's probabilities are scaled by a positive number and shifted,
    the second when those of a class are: proportions are taught, not values. Computed in fp32 (fp64
    for fp64 logits). No gradient goes to the teacher.

    Huang et al. 2022, Knowledge distillation from a stronger teacher, arXiv:2205.10536, section 4; the
    factor T^2 is that of the authors' code. Where we differ: see `pearson_correlation` for nearly equal
    numbers.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: [B, C], exactly the same shape; nothing is broadcast.
        temperature: T, above 0; larger is softer.
        inter: weight of the relation between the classes of an image (the paper's beta).
        intra: weight of the relation between the images of a class (the paper's gamma).

    Returns:
        A scalar between 0 and 2 T^2 (inter + intra), averaged over images and over classes.

    Raises:
        InputError: the shapes differ or are not [B, C], C is 1, or B is 1 and intra is not 0.
        UsageError: the temperature is not a finite number above 0.
    """
    check_logits(student_logits, teacher_logits)
    check_temperature(temperature)
    _check_counts(student_logits, between_images=intra != 0)
    q = (student_logits / temperature).softmax(1)
    p = (teacher_logits.detach().to(q) / temperature).softmax(1)
    loss = inter * (1 - pearson_correlation(q, p, dim=1).mean())
    if intra != 0:
        loss = loss + intra * (1 - pearson_correlation(q, p, dim=0).mean())
    return loss * temperature**2


def pearson_correlation(x: Tensor, y: Tensor, *, dim: int) -> Tensor:
    """Compute Pearson's correlation of two matrices, row by row (dim 1) or column by column (dim 0).

        rho(x, y) = sum_j (x_j - mean x) (y_j - mean y) / (s(x) s(y))
        s(x) = max(|x - mean x|, 0.001 |x|, 1e-15)

    The second bound is ours: the authors' only one is 1e-8, at which the gradient of nearly equal numbers
    grows to 1e8. In proportion to the numbers, it leaves small probabilities alone, and takes hold only where
    they differ by less than a thousandth: equal numbers correlate with nothing (0), and fp32 cannot mistake
    its own rounding for a relation.
    """
    return (_unit(x, dim) * _unit(y, dim)).sum(dim)


def _unit(x: Tensor, dim: int) -> Tensor:
    centred = x - x.mean(dim, keepdim=True)
    spread = centred.square().sum(dim, keepdim=True)
    least = LEAST_SPREAD**2 * x.square().sum(dim, keepdim=True)
    return centred / torch.maximum(spread, least).clamp(min=_LEAST_SQUARE).sqrt()


def _check_counts(logits: Tensor, *, between_images: bool) -> None:
    if logits.shape[1] < 2:
        raise InputError(
            "dist relates the classes of an image, and there is only one",
            found=f"logits {list(logits.shape)}",
            expected="two classes or more",
        )
    if between_images and logits.shape[0] < 2:
        raise InputError(
            "dist relates the images of a batch, and there is only one",
            found=f"logits {list(logits.shape)}",
            expected="two images or more",
            fix="a larger --batch-size, or --losses.dist.intra 0",
        )


class DISTTerm(LogitTerm):
    """`dist_loss` as a term."""

    name = "dist"
    settings: DISTConfig = DISTConfig()
    across_batch = True  # it correlates the images of a batch
    least = 2

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `dist_loss` of logits [B, C]."""
        temperature, inter, intra = (
            self.settings.temperature,
            self.settings.inter,
            self.settings.intra,
        )
        return dist_loss(student, teacher, temperature=temperature, inter=inter, intra=intra)
