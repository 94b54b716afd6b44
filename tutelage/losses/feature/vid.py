"""Variational information distillation: the student's features predict the teacher's."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tutelage.config.losses.feature import VIDConfig
from tutelage.errors import InputError
from tutelage.losses.checks import check_same
from tutelage.losses.feature.spatial import same_places
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import channels

LEAST = 1e-5
"""Lower bound of the variance."""


@in_full_precision
def vid_loss(mean: Tensor, teacher: Tensor, variance: Tensor) -> Tensor:
    """Compute how surprising the teacher's features are to a Gaussian around the student's prediction.

        loss = (1 / n) sum [ (m - t)^2 / v_c + log v_c ] / 2,   n = B C H W

    That is the negative logarithm of the Gaussian's density, without the constant log(2 pi) / 2: an upper
    bound of how much of the teacher's features the student's do not determine. It may be below 0, and is
    least where v_c is the mean squared error of channel c. Computed in fp32 (fp64 for fp64 features). No
    gradient goes to the teacher.

    Ahn et al. 2019, Variational information distillation, arXiv:1904.05835, section 2.1. Where we differ:
    the paper sums over the features of an image; the mean over all numbers is what later work uses, with
    a weight of 1.

    Args:
        mean: [B, C, H, W], what the student expects of the teacher.
        teacher: exactly the same shape.
        variance: [C], above 0.

    Returns:
        A scalar, the mean over all numbers.

    Raises:
        InputError: the shapes differ.
    """
    check_same(mean, teacher, term="vid", expected="the same shape, after the regressor")
    if variance.shape != mean.shape[1:2]:
        raise InputError(
            "vid: there must be one variance for each channel",
            found=f"variances {list(variance.shape)}, features {list(mean.shape)}",
            expected=f"[{mean.shape[1]}]",
        )
    spread = variance[:, None, None]
    return ((mean - teacher.detach()).square() / spread + spread.log()).mean() / 2


class Gaussian(nn.Module):
    """A Gaussian of the teacher's features given the student's: a mean per position, a variance per channel.

    The mean is three 1 x 1 convolutions with ReLUs between them; the variance is softplus(rho) + 1e-5, which
    is trained, too.
    """

    def __init__(self, pair: LayerPair, variance: float) -> None:
        super().__init__()
        have, want = channels(pair.student), channels(pair.teacher)
        self.mean = nn.Sequential(
            nn.Conv2d(have, want, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(want, want, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(want, want, 1, bias=False),
        )
        above = variance - LEAST
        # The inverse of softplus, log(exp(x) - 1), without exp(x), which overflows.
        self.rho = nn.Parameter(torch.full((want,), above + math.log(-math.expm1(-above))))

    def variance(self) -> Tensor:
        """Return the variance [C] of each channel."""
        return softplus(self.rho) + LEAST


class VIDTerm(PairTerm):
    """`vid_loss` of every stage, with a Gaussian each; the larger map is pooled to the smaller first."""

    name = "vid"
    settings: VIDConfig = VIDConfig()

    def __init__(self, pairs: Sequence[LayerPair], settings: VIDConfig | None = None) -> None:
        super().__init__(pairs, settings)
        self.gaussians = nn.ModuleList(Gaussian(pair, self.settings.variance) for pair in pairs)

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `vid_loss` of one pair of points."""
        gaussian = self.gaussians[number]
        assert isinstance(gaussian, Gaussian)
        mine, theirs = same_places(student, teacher, term=self.name)
        return vid_loss(gaussian.mean(mine), theirs, gaussian.variance())
