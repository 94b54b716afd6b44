"""Activation boundaries: the student's neurons are on where the teacher's are, with a margin."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.errors import UsageError
from tutelage.losses.adapters import make_adapter, make_adapters
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import check_same
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


@in_full_precision
def ab_loss(student: Tensor, teacher: Tensor, *, margin: float = 1.0) -> Tensor:
    """Squared distance of the student's pre-activations from the right side of the margin.

        loss = (3 / 1000) (1 / B) sum max(0, m - r)^2   where t > 0   (the teacher's neuron is on)
                                      max(0, m + r)^2   where t <= 0  (it is off)

    r is what the student's features became in their adapter, t the teacher's; both before the activation.
    How far the teacher is from 0 does not matter. It is 0 where every r has its teacher's sign and is at
    least m away from 0, so not at equality in general. Computed in fp32 (fp64 for fp64 features). No gradient
    goes to the teacher, which is only asked for its signs.

    Heo et al. 2019, Knowledge transfer via distillation of activation boundaries, arXiv:1811.03233, the
    alternative loss of the section on the method. Where we differ: the factor 3 / 1000 is that of published
    code, whose weight of the loss is 1. It sums over places, so larger images count more.

    Args:
        student: [B, ...], before the activation.
        teacher: exactly the same shape.
        margin: m, above 0.

    Returns:
        A scalar, 0.003 of the sum over features, averaged over the batch.

    Raises:
        InputError: the shapes differ.
        UsageError: the margin is not a finite number above 0.
    """
    check_same(student, teacher, term="ab", expected="the same shape, after an adapter")
    check_margin(margin)
    side = torch.where(teacher.detach() > 0, student, -student)
    return (margin - side).relu().square().sum() * (0.003 / len(student))


def check_margin(margin: float) -> None:
    """A finite number above 0.

    Raises:
        UsageError: it is not.
    """
    if not (margin > 0.0 and math.isfinite(margin)):
        raise UsageError(
            "the margin of the activation boundary is out of range",
            found=margin,
            expected="a finite number above 0",
            fix="1 as published",
        )


class ABTerm(FeatureTerm):
    """`ab_loss` of every stage, through a 1 x 1 convolution; the larger map is pooled first.

    The last stage counts fully, each one before it half as much as the next: 2^(i - n + 1).
    """

    name = "ab"
    wants = "before"

    def __init__(self, pairs: Sequence[LayerPair], margin: float = 1.0) -> None:
        super().__init__(pairs)
        check_margin(margin)
        self.margin = margin
        self.adapters = nn.ModuleList(make_adapter(pair) for pair in pairs)

    def forward(
        self, student: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """The sum over the pairs of points, each with the share of its stage.

        Raises:
            InputError: features that are no maps.
        """
        losses = [
            ab_loss(*make_adapters(adapter, *features, term=self.name), margin=self.margin)
            for adapter, features in zip(self.adapters, self.features(student, signal), strict=True)
        ]
        shares = [2.0 ** (i - len(losses) + 1) for i in range(len(losses))]
        return torch.stack([s * loss for s, loss in zip(shares, losses, strict=True)]).sum()
