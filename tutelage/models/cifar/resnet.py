"""ResNets for 32-pixel images: He et al. 2016 (arXiv:1512.03385), section 4.2.

Three stages of basic blocks on maps of 32, 16 and 8 pixels; depth 6n + 2 has n blocks in each. Two
things differ from the paper, as they do in the distillation tables: where a block changes the
number of channels its shortcut is a 1 x 1 convolution with BatchNorm (the paper's option B; its own
CIFAR networks pad with zeros), and the x4 networks have stages of 64, 128 and 256 channels behind a
stem of 32.
"""

from torch import Tensor, nn

from tutelage.models.cifar.network import CifarNetwork, CifarStage


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, added to the input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.act2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Compute [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        inner = self.act1(self.bn1(self.conv1(maps)))
        inner = self.bn2(self.conv2(inner))
        out: Tensor = self.act2(inner + self.downsample(maps))
        return out


class ResNet(CifarNetwork):
    """A CIFAR ResNet; parameters have the names of the tables' published checkpoints.

    Points: `conv1`, `bn1`, `act1`, `layer1` to `layer3` (after their last ReLU), `global_pool`, `fc`.
    """

    def __init__(
        self,
        *,
        depth: int,
        widths: tuple[int, int, int, int] = (16, 16, 32, 64),
        num_classes: int = 100,
        in_chans: int = 3,
    ) -> None:
        """Build a network of depth 6n + 2; `widths` are the channels of the stem and the stages."""
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"a CIFAR ResNet has depth 6n + 2, not {depth}")
        parts: dict[str, nn.Module | CifarStage] = {
            "conv1": nn.Conv2d(in_chans, widths[0], 3, 1, 1, bias=False),
            "bn1": nn.BatchNorm2d(widths[0]),
            "act1": nn.ReLU(),
        }
        for number in (1, 2, 3):
            inputs, outputs, stride = widths[number - 1], widths[number], min(number, 2)
            layers = [BasicBlock(inputs, outputs, stride)]
            layers += [BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)]
            parts[f"layer{number}"] = CifarStage(nn.Sequential(*layers), outputs, 2 ** (number - 1))
        super().__init__(parts, channels=widths[3], num_classes=num_classes)
