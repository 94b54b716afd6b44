"""Softmax regression: the teacher's own classifier gives the same logits for the student's features."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.losses.feature import SRRLConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.adapters import adapt, make_adapter
from tutelage.losses.checks import check_same
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_vector, channels
from tutelage.losses.term import BuildContext
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
    """Compute the distance of features, and of the logits the teacher's classifier computes from them.

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
            "srrl: the teacher's last layer cannot read these features",
            found=f"features {list(student.shape)}, weight {list(weight.shape)}, bias {list(bias.shape)}",
            expected="[B, D], [C, D] and [C]",
        )
    logits = torch.addmm(bias, student, weight.T)
    check_same(logits, teacher_logits, term="srrl", expected="logits [B, C] of the same classes")
    distance = (student - teacher.detach()).square().mean()
    return features * distance + regression * (logits - teacher_logits.detach()).square().mean()


class SRRLTerm(FeatureTerm):
    """`srrl_loss` of the classifiers' inputs, summed over the pairs of points.

    The connector of vectors is a linear layer; that of maps is the published 1 x 1 convolution, BatchNorm and
    ReLU, and a map is averaged over its places after it. (On vectors BatchNorm and ReLU would forbid
    negative numbers, which vectors of many networks have.)
    """

    name = "srrl"
    settings: SRRLConfig = SRRLConfig()
    wants = "vector"

    def __init__(
        self, pairs: Sequence[LayerPair], head: Head, settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(pairs, settings)
        self.needs = self.needs._replace(teacher_logits=True)
        self.connectors = nn.ModuleList(make_adapter(pair, activation=True) for pair in pairs)
        # Not saved: the head follows from the teacher, which is present whenever a term is built.
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", head[0].detach().clone(), persistent=False)
        self.register_buffer("bias", head[1].detach().clone(), persistent=False)

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term with a copy of the teacher's last layer.

        Raises:
            UsageError: a teacher that ends in no linear layer, or points of another width than it reads.
        """
        head = context.teacher.head
        if head is None:
            raise UsageError(
                "losses.srrl reuses the teacher's last linear layer, and there is none",
                found=context.teacher.family,
                expected="a teacher that ends in a linear layer",
                fix="another term: --losses.hint.weight or --losses.rkd-distance.weight",
            )
        pairs, reads = cls.find_pairs(settings, context), head[0].shape[1]
        for pair in pairs:
            if channels(pair.teacher) != reads:
                raise UsageError(
                    f"losses.srrl: the teacher's last layer cannot read {pair.teacher.path}",
                    found=f"{channels(pair.teacher)} channels",
                    expected=f"{reads} channels",
                    fix="--losses.srrl.teacher-points",
                )
        return cls(pairs, head, settings)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points.

        Raises:
            UsageError: the teacher provides no logits.
            InputError: logits of other classes than the teacher's last layer has.
        """
        logits, losses = self.teacher_logits(teacher), []
        for connector, (mine, theirs) in zip(
            self.connectors, self.features(student, teacher), strict=True
        ):
            # Paired with itself, the map keeps its size, which does not matter here.
            connected, _ = adapt(connector, mine, mine, term=self.name)
            losses.append(
                srrl_loss(
                    as_vector(connected),
                    as_vector(theirs),
                    logits,
                    (self.weight, self.bias),
                    features=self.settings.features,
                    regression=self.settings.regression,
                )
            )
        return torch.stack(losses).sum()
