"""FitNets: the student's middle features, brought to the teacher's shape, equal the teacher's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.losses.adapters import make_adapter, make_adapters
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import check_same
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


@in_full_precision
def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two features of the same shape.

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


class HintTerm(FeatureTerm):
    """`hint_loss` at the middle stage, through a 1 x 1 convolution; the larger map is pooled first."""

    name = "hint"
    wants = "middle"

    def __init__(self, pairs: Sequence[LayerPair]) -> None:
        super().__init__(pairs)
        self.adapters = nn.ModuleList(make_adapter(pair, activation=True) for pair in pairs)

    def forward(
        self, student: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """The mean over the pairs of points.

        Raises:
            InputError: features that are no maps.
        """
        losses = [
            hint_loss(*make_adapters(adapter, mine, theirs, term=self.name))
            for adapter, (mine, theirs) in zip(
                self.adapters, self.features(student, signal), strict=True
            )
        ]
        return torch.stack(losses).mean()
