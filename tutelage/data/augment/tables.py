"""Posterize, solarize, autocontrast and equalize: a table of 256 levels for each channel of each image."""

import torch
from torch import Tensor

from tutelage.data.augment.operations import AUTOCONTRAST, EQUALIZE, ONE, POSTERIZE


def look_up(images: Tensor, step: Tensor) -> Tensor:
    """Replace the levels of each channel by those of a table, as the image's code says.

    Args:
        images: uint8 [B, C, H, W].
        step: int64 [B, COLUMNS]; the amount is the number of bits that are kept, or the share of white from
            which on levels are inverted.

    Returns:
        uint8 [B, C, H, W].
    """
    flat = images.reshape(*images.shape[:2], -1).to(torch.int64)
    code, amount = step[:, 0, None, None], step[:, 1, None, None]
    levels = torch.arange(256, device=images.device).expand(*images.shape[:2], -1)
    bits = (amount // ONE).clamp(0, 8)  # that of another operation may be anything
    low = torch.bitwise_left_shift(torch.ones_like(amount), 8 - bits)
    posterized = levels - levels % low
    solarized = torch.where(levels * ONE >= amount * 255, 255 - levels, levels)
    tables = torch.where(code == POSTERIZE, posterized, solarized)
    tables = torch.where(code == AUTOCONTRAST, _stretched(flat, levels), tables)
    tables = torch.where(code == EQUALIZE, _equalized(flat, levels), tables)
    return tables.gather(2, flat).view(images.shape).to(torch.uint8)


def _stretched(flat: Tensor, levels: Tensor) -> Tensor:
    """Spread the levels that are there from black to white."""
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    spread = (levels - low) * 255 // (high - low).clamp(min=1)
    return torch.where(high > low, spread.clamp(0, 255), levels)


def _equalized(flat: Tensor, levels: Tensor) -> Tensor:
    """Make all levels about equally frequent."""
    counts = torch.zeros_like(levels).scatter_add_(2, flat, torch.ones_like(flat))
    below = counts.cumsum(2) - counts
    last = counts.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - last) // 255
    spread = (below + step // 2) // step.clamp(min=1)
    return torch.where(step > 0, spread.clamp(0, 255), levels)
