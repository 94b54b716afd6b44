"""Random erasing: a box of an image becomes the image's mean colour (Zhong et al. 2020, arXiv:1708.04896).

The area is a share of the image from 0.02 to 1/3 and the aspect ratio from 0.3 to 3.3, as in timm; a side
that would be too long is cut off, where timm draws again.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

_DRAW, _AREA, _SHAPE, _TOP, _LEFT = range(48, 53)
_AREAS = 0.02, 1 / 3
_SHAPES = math.log(0.3), math.log(1 / 0.3)


def plan_erasing(
    number: Callable[[int], Tensor], probability: float, size: tuple[int, int]
) -> Tensor:
    """Plan a box of each image, int64 [B, 4]: top, left, bottom and right; empty where nothing is erased.

    Args:
        number: one number in [0, 1) for each of B images, float64, by stream.
        probability: that an image loses a box.
        size: height and width of the images.
    """
    height, width = size
    area = (_AREAS[0] + (_AREAS[1] - _AREAS[0]) * number(_AREA)) * height * width
    shape = torch.exp(_SHAPES[0] + (_SHAPES[1] - _SHAPES[0]) * number(_SHAPE))
    tall = (area * shape).sqrt().round().clamp(1, height)
    wide = (area / shape).sqrt().round().clamp(1, width)
    top = (number(_TOP) * (height - tall + 1)).floor()
    left = (number(_LEFT) * (width - wide + 1)).floor()
    box = torch.stack([top, left, top + tall, left + wide], 1).to(torch.int64)
    return box * (number(_DRAW) < probability)[:, None]


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Fill the box of each image uint8 [B, C, H, W] with the mean of each channel, rounded down."""
    top, left, bottom, right = boxes.T[:, :, None]
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    down = (rows >= top) & (rows < bottom)
    along = (columns >= left) & (columns < right)
    inside = (down[:, :, None] & along[:, None, :])[:, None]
    pixels = images.shape[2] * images.shape[3]
    mean = images.sum((2, 3), dtype=torch.int64, keepdim=True) // pixels
    return torch.where(inside, mean.to(torch.uint8), images)
