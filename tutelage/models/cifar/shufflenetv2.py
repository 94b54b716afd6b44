"""ShuffleNetV2 for 32-pixel images: Ma et al. 2018 (arXiv:1807.11164), width 1x.

Stages as in the paper's table 5. The CIFAR form has a stem of one 1 x 1 convolution, with no stride
and no pooling, so that the stages give maps of 16, 8 and 4 pixels.
"""

import torch
from torch import Tensor, nn

from tutelage.models.cifar.convolution import Shuffle, normed
from tutelage.models.cifar.network import CifarNetwork, CifarStage

STEM, LAST = 24, 1024
WIDTHS, BLOCKS = (116, 232, 464), (4, 8, 4)


class SplitUnit(nn.Module):
    """Half of the channels stay as they are, the others pass 1 x 1, depthwise 3 x 3 and 1 x 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(*_filters(half, half, stride=1))
        self.shuffle = Shuffle(2)

    def forward(self, maps: Tensor) -> Tensor:
        """Compute [B, C, H, W] -> [B, C, H, W]."""
        kept, changed = maps.chunk(2, dim=1)
        out: Tensor = self.shuffle(torch.cat([kept, self.branch(changed)], 1))
        return out


class DownUnit(nn.Module):
    """The first unit of a stage: both branches take all channels, halve the image, make half the output."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.short = nn.Sequential(
            *normed(inputs, inputs, 3, stride=2, groups=inputs, active=False),
            *normed(inputs, half),
        )
        self.branch = nn.Sequential(*_filters(inputs, half, stride=2))
        self.shuffle = Shuffle(2)

    def forward(self, maps: Tensor) -> Tensor:
        """Compute [B, inputs, H, W] -> [B, outputs, H / 2, W / 2]."""
        out: Tensor = self.shuffle(torch.cat([self.short(maps), self.branch(maps)], 1))
        return out


def _filters(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    return [
        *normed(inputs, outputs),
        *normed(outputs, outputs, 3, stride=stride, groups=outputs, active=False),
        *normed(outputs, outputs),
    ]


class ShuffleNetV2(CifarNetwork):
    """ShuffleNetV2 1x.

    Points: `conv1`, `bn1`, `act1`, `layer1` to `layer3`, `conv2`, `bn2`, `act2`, `global_pool`, `fc`.
    """

    def __init__(self, *, num_classes: int = 100, in_chans: int = 3) -> None:
        parts: dict[str, nn.Module | CifarStage] = {
            "conv1": nn.Conv2d(in_chans, STEM, 1, bias=False),
            "bn1": nn.BatchNorm2d(STEM),
            "act1": nn.ReLU(),
        }
        inputs = STEM
        for number, (outputs, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True), start=1):
            layers: list[nn.Module] = [DownUnit(inputs, outputs)]
            layers += [SplitUnit(outputs) for _ in range(blocks - 1)]
            parts[f"layer{number}"] = CifarStage(nn.Sequential(*layers), outputs, 2**number)
            inputs = outputs
        parts |= {
            "conv2": nn.Conv2d(inputs, LAST, 1, bias=False),
            "bn2": nn.BatchNorm2d(LAST),
            "act2": nn.ReLU(),
        }
        super().__init__(parts, channels=LAST, num_classes=num_classes)
