"""Overhaul of feature distillation: pre-activations match the teacher's, except far below zero."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.adapters import adapt, make_adapter
from tutelage.losses.checks import check_same
from tutelage.losses.feature_term import PairTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.term import BuildContext

Norm = tuple[Tensor, Tensor]
"""Weight and bias [C] of a BatchNorm."""

RARE = 1e-3
"""A channel that is negative no more often than this has no usable mean; published value."""


def negative_means(weight: Tensor, bias: Tensor) -> Tensor:
    """Compute the mean of the negative part of each channel of a BatchNorm: the margins [C] of `ofd_loss`.

        m_c = E[x | x < 0] = b - s phi(b / s) / Phi(-b / s)   where Phi(-b / s) > 1e-3
        m_c = -3 s                                            elsewhere (almost never negative)

        x ~ N(b, s^2),   s = |weight_c|,   b = bias_c

    phi and Phi are the density and the distribution function of the standard normal. Their quotient is taken
    in log space and float64, so that it is right far out on both sides. A channel of weight 0 is constant:
    its margin is its bias where that is negative, else 0.

    Heo et al. 2019, arXiv:1904.01866, section 3; the branch for rare negatives is that of their code.

    Args:
        weight: [C].
        bias: [C].

    Returns:
        [C], at most 0, in float64, without gradient.
    """
    s, b = weight.detach().double().abs(), bias.detach().double()
    z = b / s.clamp(min=1e-30)  # keeps 0 / 0 away; everything else stays as it is
    log_share = torch.special.log_ndtr(-z)
    log_density = -z.square() / 2 - math.log(2 * math.pi) / 2
    # Where the share is tiny the quotient is not used; the clamp only prevents an overflow.
    quotient = (log_density - log_share.clamp(min=math.log(RARE))).exp()
    return torch.where(log_share > math.log(RARE), b - s * quotient, -3 * s)


@in_full_precision
def ofd_loss(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Compute the squared distance to the teacher, ignoring how far below the margin both are.

        loss = (1 / B) sum d(r, max(t, m_c))
        d(r, g) = 0 where r <= g <= 0,   else (r - g)^2

    r and t come before a ReLU: where the target g is not positive, the ReLU makes 0 of it, and any smaller r
    is as good. Computed in fp32 (fp64 for fp64 features). No gradient goes to the teacher.

    Heo et al. 2019, A comprehensive overhaul of feature distillation, arXiv:1904.01866, section 3. The factor
    1e-3 of their code is the term's default weight.

    Args:
        student: [B, C, H, W], after an adapter.
        teacher: [B, C, H, W], exactly the same shape.
        margin: [C], negative: see `negative_means`.

    Returns:
        A scalar, summed over channels and places and averaged over the batch.

    Raises:
        InputError: the shapes differ, are no maps, or have other channels than there are margins.
    """
    check_same(student, teacher, term="ofd", expected="both [B, C, H, W], after an adapter")
    if student.ndim != 4 or margin.shape != student.shape[1:2]:
        raise InputError(
            "ofd: features and margins do not fit together",
            found=f"features {list(student.shape)}, margins {list(margin.shape)}",
            expected="maps [B, C, H, W] and margins [C]",
        )
    target = torch.maximum(teacher.detach().to(student), margin.to(student)[:, None, None])
    matters = (student > target) | (target > 0)
    return ((student - target) * matters).square().sum() / len(student)


class OFDTerm(PairTerm):
    """`ofd_loss` before the last activation of each stage; earlier stages count half as much each.

    The sum over the n pairs, of which pair i (from 0, the shallowest) has the weight 2^-(n - 1 - i). The
    larger of two maps is pooled first. The adapter is a 1 x 1 convolution and BatchNorm.
    """

    name = "ofd"
    wants = "before"

    def __init__(
        self,
        pairs: Sequence[LayerPair],
        norms: Sequence[Norm],
        settings: WeightedLossConfig | None = None,
    ) -> None:
        super().__init__(pairs, settings)
        self.adapters = nn.ModuleList(make_adapter(pair) for pair in pairs)
        for i, norm in enumerate(norms):
            # Not saved: the margins follow from the teacher, which is present whenever a term is built.
            self.register_buffer(f"margin{i}", negative_means(*norm).float(), persistent=False)

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term with the margins of the teacher's BatchNorms.

        Raises:
            UsageError: a point of the teacher that is the end of no stage, or has no BatchNorm before it.
        """
        pairs = cls.find_pairs(settings, context)
        return cls(pairs, [_norm(pair.teacher.path, context) for pair in pairs], settings)

    def compare(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return `ofd_loss` of one pair of points, times the weight of its stage."""
        mine, theirs = adapt(self.adapters[number], student, teacher, term=self.name)
        weight = 2.0 ** (number - len(self.pairs) + 1)
        return weight * ofd_loss(mine, theirs, self.get_buffer(f"margin{number}"))


def _norm(path: str, context: BuildContext) -> Norm:
    stages = {stage.before.path: stage.norm for stage in context.teacher.stages}
    if path not in stages:
        raise UsageError(
            f"losses.ofd takes its margin from a stage of the teacher, and {path} belongs to none",
            expected="one of " + ", ".join(stages),
            fix="--losses.ofd.teacher-points",
        )
    norm = stages[path]
    if norm is None:
        raise UsageError(
            f"losses.ofd takes its margin from the teacher's BatchNorm, and {path} comes from none",
            found=context.teacher.family,
            expected="a teacher with a BatchNorm before the last activation of each stage",
            fix="--losses.hint.weight or --losses.ab.weight: terms that need no BatchNorm",
        )
    return norm
