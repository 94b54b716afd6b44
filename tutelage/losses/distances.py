"""Distances and directions between the vectors of a batch."""

import torch
from torch import Tensor

from tutelage.errors import InputError

_IDENTICAL = 1e-12
"""Two vectors are the same if |x - y|^2 is at most this part of |x|^2 + |y|^2, both from the batch's mean: a
millionth in length. The features' own rounding in fp32 is not far below it.
"""

_NOTHING = 1e-20
"""A row whose largest number is below this has no direction; its inverse still fits fp32."""


def relative_distances(vectors: Tensor) -> Tensor:
    """Return the distances between all pairs of vectors [B, D], in units of their mean over pairs i != j.

        d_ij = |x_i - x_j| / m,   m = (1 / (B (B - 1))) sum_{i != j} |x_i - x_j|

    They come from a Gram matrix, which costs B x B of memory where all differences cost B x B x D:
    |x - y|^2 = |x|^2 + |y|^2 - 2 <x, y> loses as many digits as the vectors are longer than their difference.
    So the mean of the batch is subtracted first, and these B x B numbers stay in float64, where neither near
    images nor TF32 matter. Identical images have distance 0, with gradient 0 instead of the root's
    infinite slope; where all images are identical, all is 0.

    Args:
        vectors: [B, D], B at least 2.

    Returns:
        Float64 [B, B], whatever the precision of the vectors; the diagonal is exactly 0.
    """
    wide = vectors.double()
    # A distance does not change with the mean, so no gradient needs to go through it.
    centred = wide - wide.detach().mean(0)
    gram = centred @ centred.T
    both = gram.diagonal()[:, None] + gram.diagonal()
    squared = both - 2 * gram
    identical = squared <= _IDENTICAL * both
    distances = torch.where(identical, 1.0, squared).sqrt().masked_fill(identical, 0.0)
    count = len(vectors)
    mean = distances.sum() / (count * (count - 1))
    return distances / torch.where(mean > 0, mean, 1.0)


def l2_normalize(rows: Tensor) -> Tensor:
    """Divide each row of [B, D] by its length; rows of zeros stay zero, with the gradient of a division by 1.

    The result does not depend on the rows' sizes, which may be as large or small as fp32 holds.
    """
    largest = rows.detach().abs().amax(1, keepdim=True)
    nothing = largest < _NOTHING
    # The size is divided out twice: by a constant, which keeps squares in range, then by the length left.
    scaled = rows / torch.where(nothing, 1.0, largest)
    squares = scaled.square().sum(1, keepdim=True)
    return scaled / torch.where(nothing, 1.0, squares).sqrt()


def check_vectors(student: Tensor, teacher: Tensor, *, term: str, least: int) -> None:
    """Require features [B, D] and [B, E] of the same B images, of which there are at least `least`.

    Raises:
        InputError: they are something else; both shapes are printed.
    """
    found = f"student {list(student.shape)}, teacher {list(teacher.shape)}"
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher):
        raise InputError(
            f"{term} compares one vector per image, and these features do not fit",
            found=found,
            expected="[B, D] of the student and [B, E] of the teacher",
        )
    if len(student) < least:
        raise InputError(
            f"{term} compares images with each other, and this batch has too few of them",
            found=found,
            expected=f"at least {least} images",
            fix="a --batch-size that leaves no such remainder",
        )
