"""KD++: the student's features as long as the teacher's, in the direction of their class's mean."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.losses.feature import KDPPConfig
from tutelage.errors import InputError
from tutelage.losses.checks import check_same
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import target_class
from tutelage.losses.shapes import as_vector, channels
from tutelage.losses.term import BuildContext
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

SHORTEST = 1e-4
"""Lower bound of lengths: below it a vector has no direction. Its inverse still fits float16."""


@in_full_precision
def kdpp_loss(student: Tensor, teacher: Tensor, means: Tensor, labels: Tensor) -> Tensor:
    """Compute how far the student falls short of the teacher's length along its class's mean.

        loss = 1 - (1 / B') sum_i <s_i, e_y> / max(|s_i|, |t_i|),   e_y = mean_y / |mean_y|

    The sum is over the B' images of known label; without any the loss is 0. A student shorter than its
    teacher gains by growing along e_y, a longer one only by turning to it. Between 0 and 2; 0 where each
    student's vector has the direction of its class's mean and is no shorter than the teacher's. A class
    whose mean is 0 (never seen) has no direction: its images count 1, with zero gradient. Computed in fp32
    (fp64 for fp64 features). No gradient goes to the teacher or the means.

    Wang et al. 2023, Improving knowledge distillation via regularizing feature norm and direction,
    arXiv:2305.17007, the ND loss. Where we differ: like its code we add the constant 1, and average over
    images, not first within each class; lengths are at least 1e-4.

    Args:
        student: [B, D], connected.
        teacher: [B, D], exactly the same shape.
        means: [C, D], of the teacher's vectors of each class; their length does not matter.
        labels: int64 [B]; -1 where unknown.

    Returns:
        A scalar.

    Raises:
        InputError: the shapes differ or are no vectors.
    """
    check_same(student, teacher, term="kdpp", expected="both [B, D], after the connector")
    if student.ndim != 2 or means.ndim != 2 or means.shape[1] != student.shape[1]:
        raise InputError(
            "kdpp: features and class means do not fit together",
            found=f"features {list(student.shape)}, means {list(means.shape)}",
            expected="[B, D] and [C, D]",
        )
    if labels.shape != student.shape[:1]:
        raise InputError(
            "kdpp: there must be one label per image", found=list(labels.shape), expected="[B]"
        )
    mean = means.detach().to(student)[labels.clamp(min=0)]
    direction = mean / _length(mean)
    longer = torch.maximum(_length(student), _length(teacher.detach().to(student)))
    short = 1 - (student * direction / longer).sum(1)
    known = labels >= 0
    return torch.where(known, short, 0).sum() / known.sum().clamp(min=1)


def _length(vectors: Tensor) -> Tensor:
    """Compute lengths [B, 1], clamped inside the root, whose slope is infinite at 0."""
    return vectors.square().sum(1, keepdim=True).clamp(min=SHORTEST**2).sqrt()


class ClassMeanEMA(nn.Module):
    """Running means [C, D] of the vectors of each class, which are 0 until a class is seen."""

    def __init__(self, classes: int, width: int, *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.means: Tensor
        self.register_buffer("means", torch.zeros(classes, width))

    @torch.no_grad()
    def update(self, vectors: Tensor, labels: Tensor) -> None:
        """Move the mean of each class of the batch to that of its vectors [B, D].

            mean_k <- momentum mean_k + (1 - momentum) mean {v_i : y_i = k}

        Other classes stay as they are. A class begins at 0, which shortens its mean but keeps its direction.
        No number leaves the device.

        Args:
            vectors: [B, D].
            labels: int64 [B]; -1, which is no class, is left out.
        """
        classes = torch.arange(len(self.means), device=labels.device)
        belongs = (labels == classes[:, None]).to(self.means.dtype)
        count = belongs.sum(1, keepdim=True)
        with torch.autocast(vectors.device.type, enabled=False):
            mean = belongs @ vectors.to(self.means.dtype) / count.clamp(min=1)
        moved = (count > 0) * (1 - self.momentum)
        self.means.lerp_(mean, moved.to(mean.dtype))


class KDPPTerm(FeatureTerm):
    """`kdpp_loss` of the classifiers' inputs, summed over the pairs of points.

    The class means are gathered while training, before they are used: the paper takes them over all images
    beforehand. A linear layer brings the student's vector to the teacher's width where they differ. Maps and
    tokens are averaged over their places.
    """

    name = "kdpp"
    settings: KDPPConfig = KDPPConfig()
    wants = "vector"
    # The class means are those of the whole batch, and equal in all processes.
    across_batch = True

    def __init__(
        self, pairs: Sequence[LayerPair], classes: int, settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(pairs, settings)
        self.needs = self.needs._replace(labels=True)
        self.connectors = nn.ModuleList(_connector(pair) for pair in pairs)
        momentum = self.settings.momentum
        self.classes = nn.ModuleList(
            ClassMeanEMA(classes, channels(pair.teacher), momentum=momentum) for pair in pairs
        )

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term with a mean for each class."""
        return cls(cls.find_pairs(settings, context), context.classes, settings)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points; of two mixed images, the larger share's label counts."""
        labels, losses = target_class(batch), []
        for i, (mine, theirs) in enumerate(self.features(student, teacher)):
            mine, theirs = self.connectors[i](as_vector(mine)), as_vector(theirs)
            classes = self.classes[i]
            assert isinstance(classes, ClassMeanEMA)
            if self.training:
                classes.update(theirs, labels)
            losses.append(kdpp_loss(mine, theirs, classes.means, labels))
        return torch.stack(losses).sum()


def _connector(pair: LayerPair) -> nn.Module:
    have, want = channels(pair.student), channels(pair.teacher)
    return nn.Identity() if have == want else nn.Linear(have, want)
