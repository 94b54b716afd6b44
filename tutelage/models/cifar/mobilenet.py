"""MobileNetV2 for 32-pixel images: Sandler et al. 2018 (arXiv:1801.04381).

Blocks as in the paper's table 2. The CIFAR form keeps the stem's stride of 2 but drops that of the
second row of blocks, so that maps of 2 pixels reach the end; it uses ReLU for ReLU6, and its first
row has the widening convolution, too, by a factor of one. At half width the last convolution keeps
its 1280 channels, as the paper has it for multipliers below one.
"""

from torch import Tensor, nn

from tutelage.models.cifar.convolution import normed
from tutelage.models.cifar.network import CifarNetwork, CifarStage

STEM, LAST = 32, 1280
# One stage per line, each of rows (expansion, channels, blocks, stride of the first).
STAGES = (
    ((1, 16, 1, 1), (6, 24, 2, 1)),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)


class InvertedResidual(nn.Module):
    """Widen by 1 x 1, filter each channel by 3 x 3, narrow by 1 x 1 with no ReLU at the end.

    The result is added to the input where the shapes allow it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.branch = nn.Sequential(
            *normed(inputs, inner),
            *normed(inner, inner, 3, stride=stride, groups=inner),
            *normed(inner, outputs, active=False),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Compute [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        out: Tensor = self.branch(maps)
        return maps + out if self.adds else out


class MobileNetV2(CifarNetwork):
    """MobileNetV2 at a part of its width.

    Points: `conv1`, `bn1`, `act1`, `layer1` to `layer4` (linear), `conv2`, `bn2`, `act2`, `global_pool`,
    `fc`.
    """

    def __init__(self, *, width: float, num_classes: int = 100, in_chans: int = 3) -> None:
        """Build a network with `width` times the paper's channels, but no fewer than 1280 at the end."""
        inputs, reduction = int(STEM * width), 2
        parts: dict[str, nn.Module | CifarStage] = {
            "conv1": nn.Conv2d(in_chans, inputs, 3, 2, 1, bias=False),
            "bn1": nn.BatchNorm2d(inputs),
            "act1": nn.ReLU(),
        }
        for number, rows in enumerate(STAGES, start=1):
            layers: list[nn.Module] = []
            for expansion, channels, blocks, stride in rows:
                outputs, reduction = int(channels * width), reduction * stride
                for block in range(blocks):
                    first = stride if block == 0 else 1
                    layers.append(InvertedResidual(inputs, outputs, first, expansion))
                    inputs = outputs
            parts[f"layer{number}"] = CifarStage(nn.Sequential(*layers), inputs, reduction)
        last = int(LAST * max(width, 1.0))
        parts |= {
            "conv2": nn.Conv2d(inputs, last, 1, bias=False),
            "bn2": nn.BatchNorm2d(last),
            "act2": nn.ReLU(),
        }
        super().__init__(parts, channels=last, num_classes=num_classes)
