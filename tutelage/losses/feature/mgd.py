"""Masked generation: the teacher's features are restored from the student's with some positions masked."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.config.losses.feature import MGDConfig
from tutelage.losses.checks import check_same
from tutelage.losses.feature.spatial import same_places
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import channels
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


@in_full_precision
def mgd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the squared difference of the restored features and the teacher's, summed over an image.

        loss = (1 / B) sum (g - t)^2,   g = G(a(s) * mask)

    g is what the generator G makes of the student's aligned and masked features. Computed in fp32 (fp64 for
    fp64 features). No gradient goes to the teacher.

    Yang et al. 2022, Masked generative distillation, arXiv:2205.01529, section 3. Like its code, for which
    the published weights were found, we divide by the number of images; the paper writes the sum alone.

    Args:
        student: [B, C, H, W], or any shape: the restored features.
        teacher: exactly the same shape.

    Returns:
        A scalar, summed over channels and places and averaged over the batch.

    Raises:
        InputError: the shapes differ.
    """
    check_same(student, teacher, term="mgd", expected="the same shape, after the generator")
    return (student - teacher.detach()).square().sum() / len(student)


def random_mask(features: Tensor, masked: float, generator: torch.Generator) -> Tensor:
    """Draw which positions of maps [B, C, H, W] are kept: [B, 1, H, W] of 1, and 0 with probability `masked`.

    Args:
        features: for their shape, type and device, which is also that of the generator.
        masked: share of the positions that is masked, in [0, 1).
        generator: of the random numbers.
    """
    shape = (len(features), 1, *features.shape[2:])
    chance = torch.rand(shape, generator=generator, device=features.device)
    return (chance >= masked).to(features.dtype)


class MGDTerm(FeatureTerm):
    """`mgd_loss` at the last stage, summed over the pairs of points; the larger map is pooled first.

    A 1 x 1 convolution aligns the channels, where they differ; the generator is two 3 x 3 convolutions with a
    ReLU between them. The number of the step seeds the mask: a step that is repeated, or resumed, draws the
    same one (on the same kind of device). The masks of several points are drawn one after the other, and
    those of several processes are parts of the one of the whole batch.

    Where we differ: places are masked, as in the paper; its code for classification masks whole channels.
    """

    name = "mgd"
    settings: MGDConfig = MGDConfig()
    wants = "last"
    # No image is compared with another, but the mask must not depend on the number of processes.
    across_batch = True

    def __init__(self, pairs: Sequence[LayerPair], settings: MGDConfig | None = None) -> None:
        super().__init__(pairs, settings)
        self.aligners = nn.ModuleList(_aligner(pair) for pair in pairs)
        self.generators = nn.ModuleList(_generator(channels(pair.teacher)) for pair in pairs)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points.

        Raises:
            InputError: features that are no maps.
        """
        losses, random = [], None
        for i, features in enumerate(self.features(student, teacher)):
            mine, theirs = same_places(*features, term=self.name)
            if random is None:
                random = torch.Generator(mine.device).manual_seed(progress.step)
            mask = random_mask(mine, self.settings.masked, random)
            restored = self.generators[i](self.aligners[i](mine) * mask)
            losses.append(mgd_loss(restored, theirs))
        return torch.stack(losses).sum()


def _aligner(pair: LayerPair) -> nn.Module:
    have, want = channels(pair.student), channels(pair.teacher)
    return nn.Identity() if have == want else nn.Conv2d(have, want, 1)


def _generator(width: int) -> nn.Sequential:
    first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
    return nn.Sequential(first, nn.ReLU(), second)
