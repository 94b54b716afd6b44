"""The fusion layers of knowledge review: each stage's features are fused with those of all deeper stages."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.shapes import channels


class AttentionFusion(nn.Module):
    """Two maps [B, C, H, W] become one, weighted at each position by an attention computed from both.

    z = x a_1 + y a_2, a = sigmoid(1 x 1 convolution of [x, y]) of shape [B, 2, H, W]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(2 * width, 2, 1)

    def forward(self, own: Tensor, deeper: Tensor) -> Tensor:
        """Return the mixture of a stage's own map and that of the deeper stages, of the same shape."""
        attention = torch.sigmoid(self.attention(torch.cat([own, deeper], dim=1)))
        return own * attention[:, :1] + deeper * attention[:, 1:]


class Fusion(nn.Module):
    """One stage: its features in the common width, mixed with deeper ones, then in the teacher's shape."""

    def __init__(self, have: int, width: int, want: int, *, deepest: bool) -> None:
        super().__init__()
        self.enter = _normed(have, width, 1)
        self.mixture = None if deepest else AttentionFusion(width)
        self.leave = _normed(width, want, 3)

    def forward(
        self, features: Tensor, deeper: Tensor | None, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Fuse one stage.

        Args:
            features: of this stage, [B, have, H, W].
            deeper: from the next deeper stage, [B, width, H', W']; None for the deepest.
            size: height and width of the teacher's features.

        Returns:
            (what is compared, [B, want, *size]; the input of the next shallower stage, [B, width, H, W]).
        """
        fused = self.enter(features)
        if self.mixture is not None:
            assert deeper is not None
            fused = self.mixture(fused, _resized(deeper, (fused.shape[2], fused.shape[3])))
        return self.leave(_resized(fused, size)), fused


class ReviewFusion(nn.Module):
    """The fusions of all stages, applied from the deepest to the shallowest."""

    def __init__(self, pairs: Sequence[LayerPair], *, widest: int) -> None:
        super().__init__()
        points = [(channels(pair.student), channels(pair.teacher)) for pair in pairs]
        width = min(widest, points[-1][0])
        self.fusions = nn.ModuleList(
            Fusion(have, width, want, deepest=i == len(points) - 1)
            for i, (have, want) in enumerate(points)
        )

    def forward(self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Return maps to compare with the teacher's of these sizes, from the shallowest to the deepest."""
        fused: list[Tensor] = []
        deeper = None
        for i in reversed(range(len(self.fusions))):
            compared, deeper = self.fusions[i](features[i], deeper, sizes[i])
            fused.append(compared)
        return fused[::-1]


def _normed(have: int, want: int, kernel: int) -> nn.Sequential:
    """Build a convolution that keeps the size, and BatchNorm."""
    convolution = nn.Conv2d(have, want, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(want))


def _resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    if features.shape[2:] == size:
        return features
    return F.interpolate(features, size, mode="nearest")
