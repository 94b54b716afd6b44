"""A convolution and the layers after it, as most blocks of this folder use it."""

import torch
from torch import Tensor, nn


def normed(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    active: bool = True,
) -> list[nn.Module]:
    """Build a convolution, BatchNorm, and ReLU if `active`; maps keep their size at stride 1."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias),
        nn.BatchNorm2d(outputs),
    ]
    return [*layers, nn.ReLU()] if active else layers


class Shuffle(nn.Module):
    """Interleave the channels, so that each of the next groups gets channels of every group before.

    Zhang et al. 2018 (arXiv:1707.01083), section 3.1.

    >>> Shuffle(2)(torch.arange(6).reshape(1, 6, 1, 1)).flatten().tolist()
    [0, 3, 1, 4, 2, 5]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, maps: Tensor) -> Tensor:
        """Return the channels of [B, C, H, W] in another order."""
        return torch.unflatten(maps, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        """Return the options for printing."""
        return f"groups={self.groups}"
