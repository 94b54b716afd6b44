"""FitNets: the student's middle features, adapted, match the teacher's."""

from collections.abc import Sequence

from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.losses.adapters import adapt, make_adapter
from tutelage.losses.checks import check_same
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision


@in_full_precision
def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean squared difference of two features of the same shape.

        loss = (1 / n) sum (r - t)^2,   n = B C H W

    r is what the student's features became in their adapter. Computed in fp32 (fp64 for fp64 features). No
    gradient goes to the teacher.

    Romero et al. 2015, FitNets, arXiv:1412.6550, eq. 3. Where we differ: the paper sums over the features of
    an image and halves; the mean over all numbers is what later work uses, with a weight of 100.

    Args:
        student: [B, C, H, W], or any shape.
        teacher: exactly the same shape.

    Returns:
        A scalar.

    Raises:
        InputError: the shapes differ.
    """
    check_same(student, teacher, term="hint", expected="the same shape, after an adapter")
    return (student - teacher.detach()).square().mean()


class HintTerm(PairTerm):
    """`hint_loss` at the middle stage, through a 1 x 1 convolution; the larger map is pooled first.

    Of several pairs of points, the mean.
    """

    name = "hint"
    wants = "middle"

    def __init__(
        self, pairs: Sequence[LayerPair], settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(pairs, settings)
        self.adapters = nn.ModuleList(make_adapter(pair, activation=True) for pair in pairs)

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `hint_loss` of one pair of points, divided by their number."""
        features = adapt(self.adapters[number], student, teacher, term=self.name)
        return hint_loss(*features) / len(self.pairs)
