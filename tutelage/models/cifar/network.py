"""What the networks of this folder share: named parts in a row, a pooling, a linear classifier."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn


class Section(NamedTuple):
    """A part whose output is worth tapping: its layers, their output channels, and by how much
    the image has shrunk (4: a side is a quarter of the input's).
    """

    layers: nn.Module
    channels: int
    reduction: int


class CifarNetwork(nn.Module):
    """A network that is a row of parts, then `global_pool` and `fc`.

    It answers as timm's networks do. `feature_info` lists the stages: `num_chs`, `reduction`, and
    `module`, the point to tap. `global_pool` returns [B, D], what the classifier sees. No
    activation works in place or stands in two spots, so a hook may be put at any of them.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module | Section], *, channels: int, num_classes: int
    ) -> None:
        """Put the parts in a row and draw their first weights.

        Args:
            parts: what maps pass through, by name and in this order.
            channels: of the last part's output.
            num_classes: outputs of the classifier; none (pooled features) for 0.
        """
        super().__init__()
        self.num_features = channels
        self.num_classes = num_classes
        self.feature_info: list[dict[str, Any]] = []
        self._row = tuple(parts)
        for name, part in parts.items():
            if isinstance(part, Section):
                self.feature_info.append(
                    {"num_chs": part.channels, "reduction": part.reduction, "module": name}
                )
                part = part.layers
            self.add_module(name, part)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.fc = _classifier(channels, num_classes)
        _draw_weights(self)

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new last layer with random weights, where the old ones were.

        Args:
            num_classes: its outputs; 0 leaves the pooled features as they are.
            global_pool: timm's name for a pooling; "avg" is the only one here.
        """
        if global_pool not in (None, "avg"):
            raise ValueError(f"these networks pool by the mean: avg, not {global_pool}")
        self.num_classes = num_classes
        self.fc = _classifier(self.num_features, num_classes).to(next(self.parameters()))

    def forward_features(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> the last maps [B, D, s, s]."""
        maps = images
        for name in self._row:
            maps = self.get_submodule(name)(maps)
        return maps

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """[B, D, s, s] -> logits [B, classes], or [B, D] where `pre_logits`."""
        pooled: Tensor = self.global_pool(maps)
        if pre_logits:
            return pooled
        logits: Tensor = self.fc(pooled)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> logits [B, classes]."""
        return self.forward_head(self.forward_features(images))


def _classifier(channels: int, num_classes: int) -> nn.Module:
    return nn.Linear(channels, num_classes) if num_classes else nn.Identity()


def _draw_weights(network: nn.Module) -> None:
    """He et al. 2015 (arXiv:1502.01852), by the connections that leave a pixel: those of a grouped
    convolution reach their own group only.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            leaving = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / leaving))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
