"""Knowledge review: features fused over this and all deeper stages match the teacher's at several scales."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tutelage.config.losses.feature import ReviewConfig
from tutelage.errors import InputError
from tutelage.losses.checks import check_batchnorm, check_same
from tutelage.losses.feature.fusion import ReviewFusion
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_map
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

LEVELS = (4, 2, 1)
"""Sides of the pooled maps; the published ones."""


@in_full_precision
def review_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the hierarchical context loss: squared differences of the maps and of their pooled forms.

        loss = sum_l w_l mean (pool_l(r) - pool_l(t))^2 / sum_l w_l

    l is the whole map first, then 4 x 4, 2 x 2 and 1 x 1, of which only those smaller than the map count;
    w is 1 for the first of them and halves from each to the next. Pooling (by means) is linear, so the
    difference is pooled, once a level. Computed in fp32 (fp64 for fp64 features). No gradient goes to the
    teacher.

    Chen et al. 2021, Distilling knowledge via knowledge review, arXiv:2104.09044, section 3; the weights are
    those of its code. Where we differ: a level counts only if it is smaller than the map in both
    directions (the code looks at the height alone; on square maps this is the same).

    Args:
        student: [B, C, H, W], fused features.
        teacher: exactly the same shape.

    Returns:
        A scalar, the mean over all numbers of each level.

    Raises:
        InputError: the shapes differ or are no maps.
    """
    check_same(student, teacher, term="review", expected="both [B, C, H, W]")
    if student.ndim != 4:
        raise InputError(
            "review: features must be maps", found=list(student.shape), expected="[B, C, H, W]"
        )
    difference = student - teacher.detach()
    loss, weight, total = difference.square().mean(), 1.0, 1.0
    for side in LEVELS:
        if side < min(difference.shape[2:]):
            weight /= 2
            total += weight
            loss = loss + weight * adaptive_avg_pool2d(difference, side).square().mean()
    return loss / total


class ReviewTerm(FeatureTerm):
    """`review_loss` of the fused features of each stage, summed over the stages.

    Fusing begins at the last pair of points, which is taken for the deepest. Where we differ: what the stages
    return is compared; the paper's code adds the vector before the classifier as one more stage, and for
    small images compares before the last activations.
    """

    name = "review"
    settings: ReviewConfig = ReviewConfig()
    wants = "stages"

    def __init__(self, pairs: Sequence[LayerPair], settings: ReviewConfig | None = None) -> None:
        super().__init__(pairs, settings)
        self.review = ReviewFusion(pairs, widest=self.settings.channels)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points.

        Raises:
            InputError: features that are no maps; one number a channel, which BatchNorm cannot normalise.
        """
        both = [
            (as_map(mine, term=self.name), as_map(theirs, term=self.name))
            for mine, theirs in self.features(student, teacher)
        ]
        # BatchNorm sees maps of the student's size on the way in, and of the teacher's on the way out.
        check_batchnorm(self, *(maps for pair in both for maps in pair), term=self.name)
        sizes = [(theirs.shape[2], theirs.shape[3]) for _, theirs in both]
        fused = self.review([mine for mine, _ in both], sizes)
        losses = [review_loss(f, theirs) for f, (_, theirs) in zip(fused, both, strict=True)]
        return torch.stack(losses).sum()
