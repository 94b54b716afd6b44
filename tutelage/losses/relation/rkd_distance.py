"""Relational knowledge distillation, distances: images keep the distances they have in the teacher."""

from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.distances import check_vectors, relative_distances
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_vector


@in_full_precision
def rkd_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the smooth L1 difference of all distances between images, in units of each network's own mean.

        loss = (1 / B^2) sum_i sum_j h(d_ij(student) - d_ij(teacher))
        d_ij(x) = |x_i - x_j| / m(x),   m(x) = (1 / (B (B - 1))) sum_{i != j} |x_i - x_j|
        h(a) = a^2 / 2 for |a| < 1, |a| - 1/2 beyond

    Translation, rotation and scale of a network's vectors do not matter; their widths may differ. The
    distances are computed in float64 (see `relative_distances`). Identical images count with distance 0,
    with gradient 0. No gradient goes to the teacher.

    Park et al. 2019, Relational knowledge distillation, arXiv:1904.05068, section 3.2.1. Where we differ: the
    paper sums over pairs; the mean over all B^2, with the B zeros of the diagonal among them, is what the
    authors' code and the usual weights of 25 (here) and 50 (angles) assume.

    Args:
        student: [B, D].
        teacher: [B, E], of the same images.

    Returns:
        A scalar in fp32 (fp64 for fp64 student vectors).

    Raises:
        InputError: the shapes do not fit, or a batch of one, which has no distances.
    """
    check_vectors(student, teacher, term="rkd_distance", least=2)
    mine, theirs = relative_distances(student), relative_distances(teacher.detach())
    return F.smooth_l1_loss(mine, theirs).to(student.dtype)


class RKDDistanceTerm(PairTerm):
    """`rkd_distance_loss` of the classifiers' inputs; maps and tokens are averaged over positions."""

    name = "rkd_distance"
    wants = "vector"
    across_batch = True
    least = 2

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `rkd_distance_loss` of one pair of points."""
        return rkd_distance_loss(as_vector(student), as_vector(teacher))
