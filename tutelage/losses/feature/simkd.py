"""SimKD: the student takes over the teacher's classifier and learns only the features before it."""

from collections.abc import Sequence

from torch import Tensor

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.errors import UsageError
from tutelage.losses.checks import check_same
from tutelage.losses.feature.spatial import same_places
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import channels


@in_full_precision
def simkd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean squared difference of the student's projected last map and the teacher's.

        loss = (1 / n) sum (P(F_s) - F_t)^2,   n = B C H W

    P is the projector, which is a part of the student's network and not of this loss. No gradient goes to
    the teacher. Computed in fp32 (fp64 for fp64 features).

    Chen et al. 2022, arXiv:2203.14001, eq. 3; the mean over all numbers is that of their code.

    Args:
        student: [B, C, H, W], after the projector.
        teacher: exactly the same shape.

    Returns:
        A scalar.

    Raises:
        InputError: the shapes differ.
    """
    check_same(student, teacher, term="simkd", expected="the same shape, after the projector")
    return (student - teacher.detach()).square().mean()


class SimKDTerm(PairTerm):
    """`simkd_loss` on the last maps; the larger one is pooled to the smaller.

    The student must have a projector and the teacher's classifier (`models/simkd.py`). A run adds both where
    this term has a weight, and takes the setting `reduction` for the projector.
    """

    name = "simkd"
    wants = "last"

    def __init__(
        self, pairs: Sequence[LayerPair], settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(pairs, settings)
        for mine, theirs in pairs:
            if channels(mine) != channels(theirs):
                raise UsageError(
                    "simkd compares maps of equal channels, after the student's projector",
                    found=f"{mine.path} {list(mine.shape)}, {theirs.path} {list(theirs.shape)}",
                    fix="leave out --losses.simkd.student-points",
                )

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `simkd_loss` of one pair of points."""
        return simkd_loss(*same_places(student, teacher, term=self.name))
