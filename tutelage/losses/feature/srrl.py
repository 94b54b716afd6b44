"""Softmax regression: the teacher's own classifier reads the student's features, and says the same."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from tutelage.config.loss_schedule import FeatureLossConfig, WeightedLossConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.adapters import make_adapter, make_adapters
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair, layer_pairs
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_vector, channels, check_same
from tutelage.losses.term import BuildContext, term_arguments
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

Head = tuple[Tensor, Tensor]
"""Weight [C, D] and bias [C] of the teacher's last layer."""


@in_full_precision
def srrl_loss(
    student: Tensor,
    teacher: Tensor,
    teacher_logits: Tensor,
    head: Head,
    *,
    features: float = 1.0,
    regression: float = 1.0,
) -> Tensor:
    """Distance of features, and of what the teacher's classifier makes of them.

        loss = features (1 / B D) sum (r - t)^2 + regression (1 / B C) sum (W r + b - z_t)^2

    r is what the student's vector became in the connector; W and b are the teacher's and stay as they are,
    but the gradient passes through them. Computed in fp32 (fp64 for fp64 features). No gradient goes to the
    teacher.

    Yang, Martinez, Bulat, Tzimiropoulos 2021, Knowledge distillation via softmax regression representation
    learning, ICLR 2021, section 3: the feature matching loss and the softmax regression loss, the latter as
    the squared distance of logits. Like their code we average over the numbers of a vector.

    Args:
        student: [B, D], connected.
        teacher: [B, D], exactly the same shape.
        teacher_logits: [B, C].
        head: weight [C, D] and bias [C] of the teacher's last layer.
        features: weight of the first part (alpha).
        regression: weight of the second part (beta).

    Returns:
        A scalar.

    Raises:
        InputError: the shapes differ, are no vectors, or do not fit the head.
    """
    check_same(student, teacher, term="srrl", expected="both [B, D], after the connector")
    weight, bias = (part.detach().to(student) for part in head)
    if student.ndim != 2 or weight.shape != (*bias.shape, student.shape[1]):
        raise InputError(
            "srrl: the teacher's last layer does not read these features",
            found=f"features {list(student.shape)}, weight {list(weight.shape)}, bias {list(bias.shape)}",
            expected="[B, D], [C, D] and [C]",
        )
    said = torch.addmm(bias, student, weight.T)
    check_same(said, teacher_logits, term="srrl", expected="logits [B, C] of the same classes")
    distance = (student - teacher.detach()).square().mean()
    return features * distance + regression * (said - teacher_logits.detach()).square().mean()


class SRRLTerm(FeatureTerm):
    """`srrl_loss` of what the classifiers are given, summed over the pairs of points.

    The connector of vectors is a linear layer; that of maps is the published 1 x 1 convolution, BatchNorm and
    ReLU, and a map is averaged over its places after it. (On vectors BatchNorm and ReLU would forbid
    negative numbers, which vectors of many networks have.)
    """

    name = "srrl"
    wants = "vector"

    def __init__(
        self, pairs: Sequence[LayerPair], head: Head, features: float = 1.0, regression: float = 1.0
    ) -> None:
        super().__init__(pairs)
        self.needs = self.needs._replace(teacher_logits=True)
        self.distance, self.regression = features, regression
        self.connectors = nn.ModuleList(make_adapter(pair, activation=True) for pair in pairs)
        # Not in the state: the head follows from the teacher, who is there whenever a term is built.
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", head[0].detach().clone(), persistent=False)
        self.register_buffer("bias", head[1].detach().clone(), persistent=False)

    @classmethod
    def build(cls, settings: WeightedLossConfig, ground: BuildContext) -> Self:
        """The term with the teacher's last layer.

        Raises:
            UsageError: a teacher that ends in no linear layer, or points of another width than it reads.
        """
        assert isinstance(settings, FeatureLossConfig)
        if ground.teacher.head is None:
            raise UsageError(
                "losses.srrl reuses the teacher's last linear layer, and there is none",
                found=ground.teacher.family,
                expected="a teacher that ends in a linear layer",
                fix="another term: --losses.hint.weight or --losses.rkd-distance.weight",
            )
        found = layer_pairs(cls.wants, settings, ground, term=cls.name)
        reads = ground.teacher.head[0].shape[1]
        for pair in found:
            if channels(pair.teacher) != reads:
                raise UsageError(
                    f"terms.srrl: the teacher's last layer cannot read {pair.teacher.path}",
                    found=f"{channels(pair.teacher)} channels",
                    expected=f"{reads} channels",
                    fix="--losses.srrl.teacher-points",
                )
        return cls(found, ground.teacher.head, **term_arguments(settings))

    def forward(
        self, student: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """The sum over the pairs of points.

        Raises:
            UsageError: the signal carries no logits.
            InputError: logits of other classes than the teacher's last layer has.
        """
        if signal.logits is None:
            raise UsageError("the term srrl needs the logits of a teacher, and none is given")
        losses = []
        for connector, (mine, theirs) in zip(
            self.connectors, self.features(student, signal), strict=True
        ):
            # The partner is only for the size, which here does not matter.
            connected, _ = make_adapters(connector, mine, mine, term=self.name)
            losses.append(
                srrl_loss(
                    as_vector(connected),
                    as_vector(theirs),
                    signal.logits,
                    (self.weight, self.bias),
                    features=self.distance,
                    regression=self.regression,
                )
            )
        return torch.stack(losses).sum()
