"""VGG for 32-pixel images: Simonyan and Zisserman 2015 (arXiv:1409.1556).

Five stages of 3 x 3 convolutions, as in the paper. The CIFAR form has BatchNorm after each convolution,
pooling before stages two to four only (the last two both have maps of 4 pixels), a mean over positions where
the paper has its fifth pooling, and one linear layer where it has three. VGG 13 is the paper's configuration
B; VGG 8 has one convolution a stage.
"""

from itertools import pairwise

from torch import nn

from tutelage.models.cifar.convolution import normed
from tutelage.models.cifar.network import CifarNetwork, CifarStage

WIDTHS = (64, 128, 256, 512, 512)


class VGG(CifarNetwork):
    """VGG, by the number of convolutions in each stage.

    Points: `layer1` to `layer5` (after their last ReLU; a stage's pooling is its first layer), `global_pool`,
    `fc`.
    """

    def __init__(
        self,
        *,
        convolutions: tuple[int, int, int, int, int],
        num_classes: int = 100,
        in_chans: int = 3,
    ) -> None:
        """Build a network with these numbers of convolutions per stage."""
        parts: dict[str, nn.Module | CifarStage] = {}
        reduction = 1
        for number, (inputs, outputs) in enumerate(pairwise((in_chans, *WIDTHS)), start=1):
            layers: list[nn.Module] = []
            if number in (2, 3, 4):
                layers, reduction = [nn.MaxPool2d(2)], reduction * 2
            layers += normed(inputs, outputs, 3, bias=True)
            for _ in range(convolutions[number - 1] - 1):
                layers += normed(outputs, outputs, 3, bias=True)
            parts[f"layer{number}"] = CifarStage(nn.Sequential(*layers), outputs, reduction)
        super().__init__(parts, channels=WIDTHS[-1], num_classes=num_classes)
