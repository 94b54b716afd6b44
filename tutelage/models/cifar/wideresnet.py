"""Wide Residual Networks for 32-pixel images: Zagoruyko, Komodakis 2016 (arXiv:1605.07146).

WRN-d-k has depth 6n + 4: three stages of n blocks, k times as wide as 16, 32 and 64. Norm and ReLU
stand before each convolution. As in the distillation tables there is no dropout.
"""

from torch import Tensor, nn

from tutelage.models.cifar.network import CifarNetwork, CifarStage


class WideBlock(nn.Module):
    """Norm, ReLU, convolution, twice, added to the input.

    Where the number of channels changes, a 1 x 1 convolution of the first ReLU's output is added instead.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.act1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.act2 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Compute [B, inputs, H, W] -> [B, outputs, H / stride, W / stride], with no ReLU at the end."""
        active = self.act1(self.bn1(maps))
        inner: Tensor = self.conv2(self.act2(self.bn2(self.conv1(active))))
        return inner + (maps if self.shortcut is None else self.shortcut(active))


class WideResNet(CifarNetwork):
    """A Wide ResNet.

    Points: `conv1`, `layer1` to `layer3` (sums, before the next norm), `bn1`, `act1`, `global_pool`, `fc`.
    """

    def __init__(
        self, *, depth: int, widen: int, num_classes: int = 100, in_chans: int = 3
    ) -> None:
        """Build a network of some depth (6n + 4), `widen` times as wide as the narrowest."""
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f"a Wide ResNet has depth 6n + 4, not {depth}")
        widths = (16, 16 * widen, 32 * widen, 64 * widen)
        parts: dict[str, nn.Module | CifarStage] = {
            "conv1": nn.Conv2d(in_chans, widths[0], 3, 1, 1, bias=False)
        }
        for number in (1, 2, 3):
            inputs, outputs, stride = widths[number - 1], widths[number], min(number, 2)
            layers = [WideBlock(inputs, outputs, stride)]
            layers += [WideBlock(outputs, outputs, 1) for _ in range(blocks - 1)]
            parts[f"layer{number}"] = CifarStage(nn.Sequential(*layers), outputs, 2 ** (number - 1))
        parts |= {"bn1": nn.BatchNorm2d(widths[3]), "act1": nn.ReLU()}
        super().__init__(parts, channels=widths[3], num_classes=num_classes)
