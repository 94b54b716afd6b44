"""Apply planned operations to batches of images, each image its own, on any device without waiting for it.

All arithmetic is in whole numbers, or in single operations that IEEE 754 rounds exactly, so every device
gives the same pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tutelage.data.augment.blend import blend, shift_hue
from tutelage.data.augment.operations import BLENDS, COLUMNS, GEOMETRY, HUE, TABLES, TURN
from tutelage.data.augment.tables import look_up


def apply_operations(images: Tensor, steps: Tensor) -> Tensor:
    """Apply the planned operations of each image, one after the other.

    Args:
        images: uint8 [B, C, H, W].
        steps: int64 [B, steps * COLUMNS] from `plan_operations`, on the device of the images.

    Returns:
        uint8 [B, C, H, W].
    """
    for step in torch.split(steps, COLUMNS, 1):
        code = step[:, 0]
        images = _where(_within(code, GEOMETRY), _warp, images, step)
        images = _where(_within(code, BLENDS), blend, images, step)
        images = _where(_within(code, TABLES), look_up, images, step)
        images = _where(code == HUE, shift_hue, images, step)
    return images


def _where(
    chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], images: Tensor, step: Tensor
) -> Tensor:
    """Change the chosen images; elsewhere than on a CPU all are computed, since counting them would wait."""
    if images.device.type != "cpu":
        return everywhere(chosen, change, images, step)
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return images
    return images.index_copy(0, rows, change(images[rows], step[rows]))


def everywhere(
    chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], images: Tensor, step: Tensor
) -> Tensor:
    """Change all images and keep the chosen ones."""
    return torch.where(chosen[:, None, None, None], change(images, step), images)


def _within(code: Tensor, codes: range) -> Tensor:
    return (code >= codes.start) & (code < codes.stop)


def _warp(images: Tensor, step: Tensor) -> Tensor:
    """Fetch each pixel from where the matrix says, the nearest one; black where there is none."""
    count, channels, height, width = images.shape
    down = 2 * torch.arange(height, device=images.device)[:, None] + 1 - height
    right = 2 * torch.arange(width, device=images.device) + 1 - width
    a, b, c, d, e, f = step[:, 2:, None, None].unbind(1)
    x = (a * right + b * down + c + width * TURN) >> 17
    y = (d * right + e * down + f + height * TURN) >> 17
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = (y * width + x).where(inside, 0).view(count, 1, -1).expand(-1, channels, -1)
    found = images.reshape(count, channels, -1).gather(2, place).view(images.shape)
    return found.where(inside[:, None], 0)
