"""Factor transfer: a paraphraser compresses the teacher's features into factors for the student to match."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.config.losses.feature import FTConfig
from tutelage.losses.checks import check_batchnorm, check_same
from tutelage.losses.feature.spatial import same_places, unit_vectors
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import channels
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

_SHORTEST = 1e-4
"""Length of a factor below which it counts as 0: its gradient grows as 1 / length."""


@in_full_precision
def ft_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean absolute difference of two factors, each of length 1.

        loss = (1 / (B n)) sum_i || f^s_i / ||f^s_i||_2 - f^t_i / ||f^t_i||_2 ||_1,   n = K H W

    f^s is what the translator makes of the student's features, f^t what the paraphraser makes of the
    teacher's. The scale of an image's factor does not matter. A factor of zeros stays 0. Computed in fp32
    (fp64 for fp64 factors). No gradient goes to the teacher.

    Kim, Park, Kwak 2018, Paraphrasing complex network, arXiv:1802.04977, section 3.2, p = 1. Where we differ:
    the paper writes the norm, which sums over the n numbers of a factor; its authors' code takes their mean,
    as is done here, so the paper's is n times ours, averaged over the batch.

    Args:
        student: [B, K, H, W].
        teacher: exactly the same shape.

    Returns:
        A scalar, the mean over all numbers.

    Raises:
        InputError: the shapes differ.
    """
    check_same(student, teacher, term="ft", expected="factors of the same shape")
    mine = unit_vectors(student.flatten(1), shortest=_SHORTEST)
    theirs = unit_vectors(teacher.detach().flatten(1), shortest=_SHORTEST)
    return (mine - theirs).abs().mean()


@in_full_precision
def paraphrase_loss(restored: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean squared difference of the teacher's features and those its paraphraser restores.

    Kim, Park, Kwak 2018, section 3.1, as a mean over all numbers where the paper sums. No gradient goes to
    the teacher.

    Raises:
        InputError: the shapes differ.
    """
    check_same(restored, teacher, term="ft", expected="the teacher's features, restored")
    return (restored - teacher.detach()).square().mean()


class Paraphraser(nn.Module):
    """An auto-encoder of maps with C channels, whose factors have K; maps keep their size."""

    def __init__(self, channels: int, factors: int) -> None:
        super().__init__()
        self.encoder = translator(channels, factors)
        self.decoder = nn.Sequential(
            *_layer(factors, factors, nn.ConvTranspose2d),
            *_layer(factors, channels, nn.ConvTranspose2d),
            *_layer(channels, channels, nn.ConvTranspose2d),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the features [B, C, H, W], restored from their factors."""
        restored: Tensor = self.decoder(self.encoder(features))
        return restored


def translator(channels: int, factors: int) -> nn.Sequential:
    """Build maps of C channels -> factors of K: three 3 x 3 convolutions, as in the paraphraser's encoder."""
    return nn.Sequential(
        *_layer(channels, channels, nn.Conv2d),
        *_layer(channels, factors, nn.Conv2d),
        *_layer(factors, factors, nn.Conv2d),
    )


def _layer(
    have: int, want: int, kind: type[nn.Conv2d] | type[nn.ConvTranspose2d]
) -> tuple[nn.Module, ...]:
    # BatchNorm has its own shift, so the convolution needs no bias.
    convolution = kind(have, want, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(want), nn.LeakyReLU(0.1)


class FTTerm(FeatureTerm):
    """First the paraphraser learns the teacher (`paraphrase_loss`), then the student its factors (`ft_loss`).

    The paper trains the paraphraser before the student; here the student learns from its other terms
    meanwhile and gets no gradient from this one. The larger map is pooled to the smaller first.
    """

    name = "ft"
    settings: FTConfig = FTConfig()
    wants = "last"
    staged = True  # the translator gets no gradient at first, the paraphraser none later on

    def __init__(self, pairs: Sequence[LayerPair], settings: FTConfig | None = None) -> None:
        super().__init__(pairs, settings)
        self.paraphrasers, self.translators = nn.ModuleList(), nn.ModuleList()
        for pair in pairs:
            have, want = channels(pair.student), channels(pair.teacher)
            factors = max(1, int(self.settings.rate * want))
            self.paraphrasers.append(Paraphraser(want, factors))
            self.translators.append(translator(have, factors))

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points of the loss of the current stage.

        Raises:
            InputError: features that are no maps; one number a channel, which BatchNorm cannot normalise.
        """
        learning = progress.fraction < self.settings.paraphraser
        # A trained paraphraser must not change: neither by gradients nor by its BatchNorm's averages.
        self.paraphrasers.train(self.training and learning)
        losses = []
        for paraphraser, translator, features in zip(
            self.paraphrasers, self.translators, self.features(student, teacher), strict=True
        ):
            assert isinstance(paraphraser, Paraphraser)
            mine, theirs = same_places(*features, term=self.name)
            check_batchnorm(self, mine, term=self.name)
            if learning:
                losses.append(paraphrase_loss(paraphraser(theirs), theirs))
            else:
                with torch.no_grad():
                    factors = paraphraser.encoder(theirs)
                losses.append(ft_loss(translator(mine), factors))
        return torch.stack(losses).sum()
