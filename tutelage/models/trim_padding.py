"""Convolutions without the weights that only ever meet padding.

At the end of a network small images have become one or two pixels wide. A 3 x 3 kernel over a single pixel
multiplies eight of its nine weights with padding: they change nothing and get no gradient, but at 32 x 32
pixels casting, reordering and differentiating them is a third of a small batch's step on a CPU. The result is
the same up to rounding; only the weights that matter take part.
"""

from functools import cache

from torch import Tensor, nn
from torch.nn import functional as F


def trim_padding(network: nn.Module, *, on: bool = True) -> None:
    """Let every plain convolution of a network skip such weights, or (`on=False`) no longer.

    Only the class of the modules changes: weights, names and hooks stay what they are.
    """
    old, new = (nn.Conv2d, TrimmedConv2d) if on else (TrimmedConv2d, nn.Conv2d)
    for module in network.modules():
        if type(module) is old:
            module.__class__ = new


class TrimmedConv2d(nn.Conv2d):
    """`nn.Conv2d`, computed with the part of its kernel that meets pixels."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve [B, C, H, W] as `nn.Conv2d` does."""
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            return super().forward(input)
        sides = [
            _window(
                input.shape[2 + axis],
                self.kernel_size[axis],
                self.stride[axis],
                int(self.padding[axis]),
                self.dilation[axis],
            )
            for axis in (0, 1)
        ]
        (top, bottom, down), (left, right, across) = sides
        if (bottom - top, right - left) == self.kernel_size:
            return super().forward(input)
        weight = self.weight[:, :, top:bottom, left:right]
        return F.conv2d(
            input, weight, self.bias, self.stride, (down, across), self.dilation, self.groups
        )


@cache
def _window(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[int, int, int]:
    """Return, along one axis, the range [low, high) of weights that meet a pixel, and the padding they need.

    All weights, where the rest could not be written as a convolution with equal padding on both sides.

    >>> _window(1, 3, 1, 1, 1), _window(2, 3, 2, 1, 1), _window(8, 3, 1, 1, 1)
    ((1, 2, 0), (1, 3, 0), (0, 3, 1))
    """
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    meets = [
        tap
        for tap in range(kernel)
        if any(0 <= place * stride - padding + tap * dilation < size for place in range(outputs))
    ]
    if not meets:
        return 0, kernel, padding
    low, high = meets[0], meets[-1] + 1
    left = padding - low * dilation
    same = left >= 0 and outputs == (
        (size + 2 * left - dilation * (high - low - 1) - 1) // stride + 1
    )
    return (low, high, left) if same else (0, kernel, padding)
