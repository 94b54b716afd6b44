"""SimKD: the teacher's classifier is reused, so only the features before it have to be learned."""

from collections.abc import Sequence

from torch import Tensor

from tutelage.errors import UsageError
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_map, channels, check_same, same_size
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


@in_full_precision
def simkd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the student's projected last map and the teacher's.

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


class SimKDTerm(FeatureTerm):
    """`simkd_loss` on the last maps; the larger one is pooled to the smaller.

    Needs a student with a projector and the teacher's classifier (`models/simkd.py`), which a run puts
    together where this term has a weight. That is also what `reduction` is for.
    """

    name = "simkd"
    wants = "last"

    def __init__(self, pairs: Sequence[LayerPair], reduction: int = 2) -> None:
        super().__init__(pairs)
        self.reduction = reduction
        for mine, theirs in pairs:
            if channels(mine) != channels(theirs):
                raise UsageError(
                    "simkd compares maps with as many channels, after the student's projector",
                    found=f"{mine.path} {list(mine.shape)}, {theirs.path} {list(theirs.shape)}",
                    fix="leave out --losses.simkd.student-points",
                )

    def forward(
        self, student: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """The loss of the last maps.

        Raises:
            InputError: features that are no maps.
        """
        losses = [
            simkd_loss(*same_size(as_map(mine, term=self.name), as_map(theirs, term=self.name)))
            for mine, theirs in self.features(student, signal)
        ]
        return sum(losses[1:], losses[0])
