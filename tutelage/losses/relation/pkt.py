"""Probabilistic knowledge transfer: images choose the same neighbours in both networks."""

from torch import Tensor

from tutelage.losses.distances import check_vectors, l2_normalize
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_vector

EPSILON = 1e-7
"""Added to probabilities inside the logarithm, as published."""


@in_full_precision
def pkt_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the divergence of two networks' probabilities that image i chooses image j as its neighbour.

        loss = (1 / B^2) sum_i sum_j p_ij (log(p_ij + e) - log(q_ij + e)),   e = 1e-7
        p_ij = K_ij / sum_k K_ik,   K_ij = (cos(x_i, x_j) + 1) / 2,   p of the teacher, q of the student

    The length of each vector does not matter, nor their widths, which may differ. A vector of zeros has
    cosine 0 to all others and itself. In a batch of one there is no neighbour: the loss is 0. Computed in
    fp32 (fp64 for fp64 vectors). No gradient goes to the teacher.

    Passalis, Tefas 2018, Learning deep representations with probabilistic knowledge transfer,
    arXiv:1803.10837, section 3. Where we differ from the paper, we do as the authors' code, which the usual
    weight of 30000 assumes: an image may choose itself (the diagonal counts, with K_ii = 1; the paper
    leaves it out), and the loss is the mean over all B^2 pairs, not their sum. Where we differ from that
    code: lengths are divided out without an epsilon, and cosines that rounding puts below -1 count as -1.

    Args:
        student: [B, D].
        teacher: [B, E], of the same images.

    Returns:
        A scalar; a rounding below 0 at most.

    Raises:
        InputError: the shapes do not fit.
    """
    check_vectors(student, teacher, term="pkt", least=1)
    p, q = _choices(teacher.detach()), _choices(student)
    return (p * ((p + EPSILON).log() - (q + EPSILON).log())).mean()


def _choices(vectors: Tensor) -> Tensor:
    """Return the probabilities [B, B] that each image (a row) chooses each other and itself."""
    directions = l2_normalize(vectors)
    kernel = ((directions @ directions.T + 1) / 2).clamp(min=0)
    return kernel / kernel.sum(1, keepdim=True)


class PKTTerm(PairTerm):
    """`pkt_loss` of the classifiers' inputs; maps and tokens are averaged over positions."""

    name = "pkt"
    wants = "vector"
    across_batch = True

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `pkt_loss` of one pair of points."""
        return pkt_loss(as_vector(student), as_vector(teacher))
