"""What the networks of this folder share: a row of named parts, pooling, a linear classifier."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn


class CifarStage(NamedTuple):
    """A part whose output is a stage of the network."""

    layers: nn.Module
    """Its layers."""
    channels: int
    """Channels of its output."""
    reduction: int
    """How much smaller than the image its output is (4: a side is a quarter of the input's)."""


class CifarNetwork(nn.Module):
    """A network that is a row of parts, then `global_pool` and `fc`.

    It has the interface of timm's networks. `feature_info` lists the stages: `num_chs`, `reduction`, and
    `module`, the submodule that returns them. `global_pool` returns [B, D], the classifier's input. No
    activation works in place or is used twice, so a hook may be put at any of them.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module | CifarStage], *, channels: int, num_classes: int
    ) -> None:
        """Put the parts in a row and draw their first weights.

        Args:
            parts: what maps pass through, by name and in this order.
            channels: of the last part's output.
            num_classes: outputs of the classifier; 0 for none (pooled features).
        """
        super().__init__()
        self.num_features = channels
        self.num_classes = num_classes
        self.feature_info: list[dict[str, Any]] = []
        self._row = tuple(parts)
        for name, part in parts.items():
            if isinstance(part, CifarStage):
                self.feature_info.append(
                    {"num_chs": part.channels, "reduction": part.reduction, "module": name}
                )
                part = part.layers
            self.add_module(name, part)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.fc = _classifier(channels, num_classes)
        _draw_weights(self)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one with random weights, on the same device.

        Args:
            num_classes: its outputs; 0 leaves the pooled features as they are.
            global_pool: timm's name for a pooling; "avg" is the only one here.
        """
        if global_pool not in (None, "avg"):
            raise ValueError(f"these networks pool by the mean: avg, not {global_pool}")
        self.num_classes = num_classes
        self.fc = _classifier(self.num_features, num_classes).to(next(self.parameters()))

    def forward_features(self, images: Tensor) -> Tensor:
        """Compute the last maps: [B, 3, S, S] -> [B, D, s, s]."""
        maps = images
        for name in self._row:
            maps = self.get_submodule(name)(maps)
        return maps

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits: [B, D, s, s] -> [B, classes], or return pooled features [B, D] if `pre_logits`."""
        pooled: Tensor = self.global_pool(maps)
        if pre_logits:
            return pooled
        logits: Tensor = self.fc(pooled)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits: [B, 3, S, S] -> [B, classes]."""
        return self.forward_head(self.forward_features(images))


def _classifier(channels: int, num_classes: int) -> nn.Module:
    return nn.Linear(channels, num_classes) if num_classes else nn.Identity()


def _draw_weights(network: nn.Module) -> None:
    """Draw weights as He et al. 2015 (arXiv:1502.01852), by the number of connections that leave a pixel.

    Those of a grouped convolution reach their own group only.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            leaving = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / leaving))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
