"""Neuron selectivity transfer: the same kinds of activation patterns, in whichever channels."""

from torch import Tensor

from tutelage.losses.feature.spatial import check_places, same_places, unit_vectors
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.precision import in_full_precision

_SHORTEST = 1e-6
"""Length below which a channel's pattern counts as 0."""


@in_full_precision
def nst_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the squared mean discrepancy between the patterns of the student's and the teacher's channels.

        x_c = F_c / ||F_c||_2   (each channel of an image, over its H W places),   k(x, y) = (x . y)^2

        loss = (1 / B) sum_i [ mean_cc' k(x^s_c, x^s_c') + mean_cc' k(x^t_c, x^t_c')
                               - 2 mean_cc' k(x^s_c, x^t_c') ]

    The patterns are a set: the order of channels, their number and their scale do not matter, and neither
    does a common order of places. With X [C, H W] the patterns of an image, both of these are the same
    number, and the one with less work is computed; no tensor holds pairs of channels times places:

        channels   ||X_s X_s^T||_F^2 / C_s^2 + ||X_t X_t^T||_F^2 / C_t^2 - 2 ||X_s X_t^T||_F^2 / (C_s C_t)
        places     || X_s^T X_s / C_s - X_t^T X_t / C_t ||_F^2

    A channel of zeros stays 0 and gets no gradient. It is never below 0 but for rounding in the first form.
    Computed in fp32 (fp64 for fp64 features). No gradient goes to the teacher.

    Huang, Wang 2017, Like what you like, arXiv:1707.01219, section 4, with the polynomial kernel (d = 2,
    c = 0). Where we differ: the paper's weight lambda / 2 is not in here.

    Args:
        student: [B, C, H, W].
        teacher: [B, C', H, W], of the same images and places.

    Returns:
        A scalar, the mean over images.

    Raises:
        InputError: shapes that differ in more than the channels.
    """
    check_places(student, teacher, term="nst")
    mine = unit_vectors(student.flatten(2), shortest=_SHORTEST)
    theirs = unit_vectors(teacher.detach().flatten(2), shortest=_SHORTEST)
    (have, places), want = mine.shape[1:], theirs.shape[1]
    if places * (have + want) < have**2 + have * want + want**2:
        gap = mine.mT @ mine / have - theirs.mT @ theirs / want
        return gap.square().sum((1, 2)).mean()
    return _kernel(mine, mine) + _kernel(theirs, theirs) - 2 * _kernel(mine, theirs)


def _kernel(left: Tensor, right: Tensor) -> Tensor:
    """Compute the mean of (x . y)^2 over all pairs of channels, and over images."""
    return (left @ right.mT).square().mean()


class NSTTerm(PairTerm):
    """`nst_loss` of every stage; the larger map is pooled to the smaller first."""

    name = "nst"

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `nst_loss` of one pair of points."""
        return nst_loss(*same_places(student, teacher, term=self.name))
