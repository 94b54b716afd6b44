"""Relational knowledge distillation, angles: three images keep the triangle they form in the teacher."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tutelage.losses.distances import check_vectors, relative_distances
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_vector

BLOCK = 2**22
"""Angles in memory at once: a few tensors of 16 MiB, whatever the batch."""


@in_full_precision
def rkd_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the smooth L1 difference of the cosines of all angles that three images form.

        loss = (1 / B^3) sum_i sum_j sum_k h(c_ijk(student) - c_ijk(teacher))
        c_ijk(x) = <x_i - x_j, x_k - x_j> / (|x_i - x_j| |x_k - x_j|),   h as in `rkd_distance_loss`

    A triple with i = j or k = j, or with images that are identical to j, has no angle: its cosine is 0,
    with gradient 0. Translation, rotation and scale of a network's vectors do not matter; their widths may
    differ. No gradient goes to the teacher.

    The cosines come from the sides of the triangles, c_ijk = (d_ij^2 + d_jk^2 - d_ik^2) / (2 d_ij d_jk), with
    distances from float64. Rounding is then about 1e-7 d_jk / d_ij for d_ij < d_jk; in inner products of
    fp32, G_ik - G_ij - G_kj + G_jj, it is 1e-7 |x|^2 / (d_ij d_jk), which tight clusters of images drown
    in. It takes B^3 operations, where the difference vectors of the authors' code take B^3 D, and the angles
    at only a few images j are in memory at a time (they are computed again for the gradient).

    Park et al. 2019, Relational knowledge distillation, arXiv:1904.05068, section 3.2.2. Where we differ: the
    paper sums over triples of three different images; the mean over all B^3, with i = k (cosine 1) and the
    degenerate ones (0) among them, is what the authors' code and the usual weight of 50 assume.

    Args:
        student: [B, D].
        teacher: [B, E], of the same images.

    Returns:
        A scalar in fp32 (fp64 for fp64 student vectors).

    Raises:
        InputError: the shapes do not fit, or fewer than 3 images, which form no triangle.
    """
    check_vectors(student, teacher, term="rkd_angle", least=3)
    mine = relative_distances(student).to(student.dtype)
    theirs = relative_distances(teacher.detach()).to(student.dtype)
    count = len(student)
    size = max(1, BLOCK // count**2)
    blocks = [
        # Nothing in a block is random, and reading a device's random state would wait for it.
        checkpoint(
            _difference, mine, theirs, first, size, use_reentrant=False, preserve_rng_state=False
        )
        for first in range(0, count, size)
    ]
    return torch.stack(blocks).sum() / count**3


def _difference(mine: Tensor, theirs: Tensor, first: int, size: int) -> Tensor:
    """Return the sum of the loss over the angles at some images, of distances [B, B]."""
    at = slice(first, first + size)
    return F.smooth_l1_loss(_cosines(mine, at), _cosines(theirs, at), reduction="sum")


def _cosines(distances: Tensor, at: slice) -> Tensor:
    """Return the cosines [J, B, B] of the angles at J images between any two, by the law of cosines."""
    sides = distances[at]
    inverse = torch.where(sides > 0, 1 / torch.where(sides > 0, sides, 1.0), 0.0)
    squares = distances.square()
    twice = squares[at, :, None] + squares[at, None, :] - squares
    return twice * inverse[:, :, None] * inverse[:, None, :] / 2


class RKDAngleTerm(PairTerm):
    """`rkd_angle_loss` of the classifiers' inputs; maps and tokens are averaged over positions."""

    name = "rkd_angle"
    wants = "vector"
    across_batch = True
    least = 3

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `rkd_angle_loss` of one pair of points."""
        return rkd_angle_loss(as_vector(student), as_vector(teacher))
