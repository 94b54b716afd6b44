"""ShuffleNet for 32-pixel images: Zhang et al. 2018 (arXiv:1707.01083), three groups.

Stages as in the paper's table 1. The CIFAR form has a stem of one 1 x 1 convolution, with no stride
and no pooling, so that the stages give maps of 16, 8 and 4 pixels; a ReLU after the depthwise
convolution, too, where the paper has none; and in the first unit of a stage a bottleneck of a
quarter of what the branch makes, not of all the unit gives.
"""

import torch
from torch import Tensor, nn

from tutelage.models.cifar.convolution import Shuffle, normed
from tutelage.models.cifar.network import CifarNetwork, CifarStage

GROUPS, STEM = 3, 24
WIDTHS, BLOCKS = (240, 480, 960), (4, 8, 4)


class ShuffleUnit(nn.Module):
    """Grouped 1 x 1, shuffle, depthwise 3 x 3, grouped 1 x 1; then added to the input.

    In the first unit of a stage, with stride 2, the branch is concatenated with the pooled input instead, and
    makes only the channels still missing.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        made = outputs - inputs if stride == 2 else outputs
        inner = made // 4
        # As in the paper: the few channels of the stem are not divided.
        groups = 1 if inputs == STEM else GROUPS
        self.branch = nn.Sequential(
            *normed(inputs, inner, groups=groups),
            Shuffle(groups),
            *normed(inner, inner, 3, stride=stride, groups=inner),
            *normed(inner, made, groups=GROUPS, active=False),
        )
        self.pool = nn.AvgPool2d(3, 2, 1) if stride == 2 else None
        self.act = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Compute [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        inner = self.branch(maps)
        whole = inner + maps if self.pool is None else torch.cat([inner, self.pool(maps)], 1)
        out: Tensor = self.act(whole)
        return out


class ShuffleNetV1(CifarNetwork):
    """ShuffleNet with three groups.

    Points: `conv1`, `bn1`, `act1`, `layer1` to `layer3` (after their last ReLU), `global_pool`, `fc`.
    """

    def __init__(self, *, num_classes: int = 100, in_chans: int = 3) -> None:
        parts: dict[str, nn.Module | CifarStage] = {
            "conv1": nn.Conv2d(in_chans, STEM, 1, bias=False),
            "bn1": nn.BatchNorm2d(STEM),
            "act1": nn.ReLU(),
        }
        inputs = STEM
        for number, (outputs, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True), start=1):
            layers = [ShuffleUnit(inputs, outputs, 2)]
            layers += [ShuffleUnit(outputs, outputs, 1) for _ in range(blocks - 1)]
            parts[f"layer{number}"] = CifarStage(nn.Sequential(*layers), outputs, 2**number)
            inputs = outputs
        super().__init__(parts, channels=inputs, num_classes=num_classes)
