"""Similarity-preserving distillation: images alike to the teacher become alike to the student."""

from torch import Tensor

from tutelage.errors import InputError
from tutelage.losses.distances import l2_normalize
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.precision import in_full_precision


@in_full_precision
def sp_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the squared difference of two networks' row-normalised similarities between images.

        loss = (1 / B^2) ||N(student) - N(teacher)||_F^2
        N(f)_ij = G_ij / (sum_k G_ik^2)^(1/2),   G = F F^T,   F = f flattened to [B, C H W]

    A common factor of all features does not matter, nor do their channels and sizes, which may differ. A
    image without any activation has a row of zeros, and a gradient of ordinary size. In a batch of one
    there is nothing to compare: the loss is 0. Computed in fp32 (fp64 for fp64 features). No
    gradient goes to the teacher.

    Tung, Mori 2019, Similarity-preserving knowledge distillation, arXiv:1907.09682, section 3. We do not
    differ; some implementations normalise rows by their sum of absolute values, which makes the loss many
    times smaller. Several pairs of points are summed, as in the paper.

    Args:
        student: [B, C, H, W], tokens [B, N, C] or [B, D].
        teacher: of the same images; any other dimension may differ.

    Returns:
        A scalar.

    Raises:
        InputError: not as many images, or features that are one number for each image or less.
    """
    if student.ndim < 2 or teacher.ndim < 2 or len(student) != len(teacher):
        raise InputError(
            "sp compares features of the same images, and these do not fit together",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected="[B, ...] of both",
        )
    return (_similarities(student) - _similarities(teacher.detach())).square().mean()


def _similarities(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    return l2_normalize(flat @ flat.T)


class SPTerm(PairTerm):
    """`sp_loss` of the output of the last stages."""

    name = "sp"
    wants = "last"
    across_batch = True

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `sp_loss` of one pair of points."""
        return sp_loss(student, teacher)
