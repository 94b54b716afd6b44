"""Activation boundaries: the student's neurons are on where the teacher's are, with a margin."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.config.losses.feature import ABConfig
from tutelage.losses.adapters import adapt, make_adapter
from tutelage.losses.checks import check_positive, check_same
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision


@in_full_precision
def ab_loss(student: Tensor, teacher: Tensor, *, margin: float = 1.0) -> Tensor:
    """Compute the squared distance of the student's pre-activations from the right side of the margin.

        loss = (3 / 1000) (1 / B) sum max(0, m - r)^2   where t > 0   (the teacher's neuron is on)
                                      max(0, m + r)^2   where t <= 0  (it is off)

    r is what the student's features became in their adapter, t the teacher's; both before the activation.
    How far the teacher is from 0 does not matter. It is 0 where every r has its teacher's sign and is at
    least m away from 0, so not at equality in general. Computed in fp32 (fp64 for fp64 features). No gradient
    goes to the teacher, of which only the signs are used.

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
    check_positive(margin, "margin of the activation boundary", fix="1 as published")
    side = torch.where(teacher.detach() > 0, student, -student)
    return (margin - side).relu().square().sum() * (0.003 / len(student))


class ABTerm(PairTerm):
    """`ab_loss` of every stage, through a 1 x 1 convolution; the larger map is pooled first.

    The last stage counts fully, each one before it half as much as the next: 2^(i - n + 1).
    """

    name = "ab"
    settings: ABConfig = ABConfig()
    wants = "before"

    def __init__(self, pairs: Sequence[LayerPair], settings: ABConfig | None = None) -> None:
        super().__init__(pairs, settings)
        self.adapters = nn.ModuleList(make_adapter(pair) for pair in pairs)

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `ab_loss` of one pair of points, times the share of its stage."""
        features = adapt(self.adapters[number], student, teacher, term=self.name)
        share = 2.0 ** (number - len(self.pairs) + 1)
        return share * ab_loss(*features, margin=self.settings.margin)
