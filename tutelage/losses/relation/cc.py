"""Correlation congruence: images are as alike to the student as they are to the teacher."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.config.losses.relation import CCConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.checks import check_same
from tutelage.losses.distances import l2_normalize
from tutelage.losses.embedding import Embedding, FixedEmbedding
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision


@in_full_precision
def cc_loss(student: Tensor, teacher: Tensor, *, gamma: float = 0.4, order: int = 2) -> Tensor:
    """Compute the squared difference of two kernel matrices between the images of a batch.

        loss = (1 / B^2) sum_ij (K_ij^s - K_ij^t)^2
        K_ij = exp(-2 gamma) sum_{p = 0..P} (2 gamma)^p / p! (x_i . x_j)^p,   x = f / |f|

    K is the Taylor series of order P of the Gaussian kernel exp(-gamma |x_i - x_j|^2), which has this form
    for vectors of length 1; so both features are divided by their lengths here; one of length 0 stays 0.
    Neither the length of a feature nor a rotation of all features changes the value.
    Computed in fp32 (fp64 for fp64 features). No gradient goes to the teacher.

    Peng et al. 2019, Correlation congruence, arXiv:1904.01802, section 3. The authors' published code
    compares products of neighbours in the batch instead, and another well-known one divides the distance,
    not its square, by B^2.

    Args:
        student: [B, D] floating point.
        teacher: exactly the same shape.
        gamma: of the kernel, above 0; larger looks at closer images only.
        order: P, at least 1.

    Returns:
        A scalar, averaged over all B^2 pairs. A batch of one gives 0.

    Raises:
        InputError: the shapes differ or are not [B, D].
        UsageError: gamma or order out of range.
    """
    check_same(student, teacher, term="cc", expected="both [B, D]")
    if student.ndim != 2:
        raise InputError("cc compares vectors", found=list(student.shape), expected="[B, D]")
    if not (0.0 < gamma < math.inf and order >= 1):
        raise UsageError(
            "cc: there is no such kernel",
            found=f"gamma {gamma}, order {order}",
            expected="a finite gamma above 0, an order of at least 1",
        )
    mine, theirs = l2_normalize(student), l2_normalize(teacher.detach().to(student))
    return (_kernel(mine, gamma, order) - _kernel(theirs, gamma, order)).square().mean()


def _kernel(x: Tensor, gamma: float, order: int) -> Tensor:
    """Compute the kernel [B, B] of unit vectors [B, D], by Horner's rule."""
    factors = [
        math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) for p in range(order + 1)
    ]
    cosine = x @ x.T
    found = torch.full_like(cosine, factors[-1])
    for factor in reversed(factors[:-1]):
        found = found * cosine + factor
    return found


class CCTerm(PairTerm):
    """`cc_loss` of embeddings, summed over pairs of points.

    The student's linear layer is trained, the teacher's is not: if both were, both would learn to map all
    images onto one point, where the loss is 0. The teacher's is a random orthogonal matrix. Where it does
    not shorten the features it keeps all their cosines exactly; else it keeps them roughly.
    """

    name = "cc"
    settings: CCConfig = CCConfig()
    wants = "vector"
    across_batch = True

    def __init__(self, pairs: Sequence[LayerPair], settings: CCConfig | None = None) -> None:
        super().__init__(pairs, settings)
        width = self.settings.width
        self.student = nn.ModuleList(Embedding(pair.student, width) for pair in pairs)
        self.teacher = nn.ModuleList(FixedEmbedding(pair.teacher, width) for pair in pairs)

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `cc_loss` of the embeddings of one pair of points."""
        mine, theirs = self.student[number](student), self.teacher[number](teacher)
        return cc_loss(mine, theirs, gamma=self.settings.gamma, order=self.settings.order)
