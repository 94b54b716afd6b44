"""Inter-channel correlation: channels respond together in the student as they do in the teacher."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.errors import InputError
from tutelage.losses.adapters import adapt, make_adapter
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_map

EPSILON = 1e-6


@in_full_precision
def icc_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the squared difference of the correlations between channels, row by row.

        loss = (1 / (B C)) sum_i |R_i^s - R_i^t|_F^2
        R = G with each row divided by its length,   G = X X^T,   X: one image's map as [C, H W]

    Row c of R gives how strongly channel c responds together with each other one; diversity is kept because
    the whole pattern is matched, similar or not. A channel that is 0 everywhere has a row of 0. The value
    does not change when an image's whole map is multiplied by a number, nor when its places are reordered.
    It is between 0 and 4 and 0 at equality. The maps may differ in height and width.

    Computed in fp32 (fp64 for fp64 features), from the inner products of rows alone:

        |R_c^s - R_c^t|^2 = n(s, s) + n(t, t) - 2 n(s, t)

    so that of [C, C] and [H W, H W] only the smaller is ever made. No gradient goes to the teacher.

    Liu et al. 2021, Exploring inter-channel correlation, ICCV, section 3 (ICKD-C). Where we differ: the
    paper writes the plain Gram matrices and 1 / C^2; the division of rows and by C is that of the authors'
    code, to which the published weight of 2.5 belongs.

    Args:
        student: [B, C, H, W].
        teacher: [B, C, H', W'].

    Returns:
        A scalar, averaged over images and channels.

    Raises:
        InputError: other shapes.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise InputError(
            "icc: maps of student and teacher do not fit together",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected="both [B, C, H, W] with the same B and C, after an adapter",
        )
    mine, theirs = _scaled(student), _scaled(teacher.detach().to(student))
    ss, tt, st = (_row_products(*both) for both in ((mine, mine), (theirs, theirs), (mine, theirs)))
    a, b = (square.clamp(min=EPSILON).rsqrt() for square in (ss, tt))
    return (ss * a**2 + tt * b**2 - 2 * st * a * b).mean()


def _scaled(features: Tensor) -> Tensor:
    """Divide each image of [B, C, H, W] by its root mean square, which changes no result: [B, C, H W].

    Products of four features then fit into fp32, whatever their size.
    """
    flat = features.flatten(2)
    with torch.no_grad():
        scale = flat.square().mean((1, 2), keepdim=True).clamp(min=EPSILON**2).rsqrt()
    return flat * scale


def _row_products(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product [B, C] of each row of X X^T with that of Y Y^T, over their mean pixel count.

    Dividing by the pixel count keeps the numbers' size, and with it the meaning of an epsilon.
    """
    places = x.shape[2] * y.shape[2]
    if places <= x.shape[1] ** 2:
        return (x @ (x.transpose(1, 2) @ y) * y).sum(2) / places
    return (x @ x.transpose(1, 2) * (y @ y.transpose(1, 2))).sum(2) / places


class ICCTerm(PairTerm):
    """`icc_loss` at the last stage, through a 1 x 1 convolution with BatchNorm to the teacher's channels."""

    name = "icc"
    wants = "last"

    def __init__(
        self, pairs: Sequence[LayerPair], settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(pairs, settings)
        self.adapters = nn.ModuleList(make_adapter(pair) for pair in pairs)

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `icc_loss` of one pair of points."""
        mine = as_map(student, term=self.name)
        # Paired with itself, the map keeps its size: channels are compared, whatever the positions.
        adapted, _ = adapt(self.adapters[number], mine, mine, term=self.name)
        return icc_loss(adapted, as_map(teacher, term=self.name))
