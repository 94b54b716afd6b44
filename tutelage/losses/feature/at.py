"""Attention transfer: the student's features have their energy where the teacher's have it."""

from torch import Tensor

from tutelage.config.losses.feature import ATConfig
from tutelage.losses.checks import check_positive
from tutelage.losses.feature.spatial import check_places, same_places, unit_vectors
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.precision import in_full_precision

_FAINTEST = 1e-6
"""Absolute value below which an image's largest feature counts as 0."""


@in_full_precision
def at_loss(student: Tensor, teacher: Tensor, *, power: float = 2.0) -> Tensor:
    """Compute the mean squared difference of two attention maps, each of length 1.

        Q_ihw = (1 / C) sum_c |F_ichw|^p,   q_i = Q_i / ||Q_i||_2   (over all places)
        loss = (1 / (B H W)) sum_ihw (q^s_ihw - q^t_ihw)^2

    q shows where the energy of an image's features lies; it does not change when the features of an image
    are scaled, and channels may differ in number. A map of zeros has q = 0. Computed in fp32 (fp64 for fp64
    features). No gradient goes to the teacher.

    Zagoruyko, Komodakis 2017, Paying more attention to attention, arXiv:1612.03928, eq. 2. Where we differ:
    the paper writes (beta / 2) sum over stages of ||q^s - q^t||_2, a root of a sum over places; its
    authors' code and later comparisons, with a weight of 1000, take the mean of squares above. Of a single
    image, the loss is the square of the paper's norm, divided by H W.

    Args:
        student: [B, C, H, W].
        teacher: [B, C', H, W], of the same images and places.
        power: p, above 0; the larger, the more the strongest features count.

    Returns:
        A scalar, the mean over images and places.

    Raises:
        InputError: shapes that differ in more than the channels.
        UsageError: the power is not a finite number above 0.
    """
    check_places(student, teacher, term="at")
    check_positive(power, "power of the attention map", fix="2 as published")
    return (_attention(student, power) - _attention(teacher.detach(), power)).square().mean()


def _attention(features: Tensor, power: float) -> Tensor:
    """Compute the attention map [B, H W] of each image, of length 1."""
    if power == 2.0:
        energy = features.square().mean(1)
    else:
        # Other powers leave the range of fp32, so each image is first divided by its largest feature,
        # which cancels when the map is divided by its length.
        size = features.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=_FAINTEST)
        energy = _power(features / size, power).mean(1)
    return unit_vectors(energy.flatten(1), shortest=_FAINTEST**2)


def _power(features: Tensor, power: float) -> Tensor:
    """Compute |x|^p; where its slope has no bound at 0 (p < 1), features below 1e-6 count as 0."""
    size = features.abs()
    if power >= 1.0:
        return size.pow(power)
    return size.clamp(min=_FAINTEST).pow(power) * (size >= _FAINTEST)


class ATTerm(PairTerm):
    """`at_loss` of every stage; the larger map is pooled to the smaller first."""

    name = "at"
    settings: ATConfig = ATConfig()

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `at_loss` of one pair of points."""
        return at_loss(*same_places(student, teacher, term=self.name), power=self.settings.power)
