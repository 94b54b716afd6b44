"""Brightness, saturation, contrast and sharpness as blends with a poorer image, and shifts of the hue."""

import torch
from torch import Tensor

from tutelage.data.augment.operations import BRIGHTNESS, CONTRAST, ONE, SATURATION, SHARPNESS

_LUMA = (4899, 9617, 1868)
"""Of red, green and blue, in 1 / 2^14 (ITU-R BT.601)."""
_FINE = 64
"""Levels are whole numbers of 1 / _FINE while the mean of an image is blended."""


def blend(images: Tensor, step: Tensor) -> Tensor:
    """Blend each image with black, its grey, its mean grey or its blurred self, as its code says.

    Args:
        images: uint8 [B, C, H, W].
        step: int64 [B, COLUMNS]; the amount is the image's own weight, below 1 poorer and above 1 richer.

    Returns:
        uint8 [B, C, H, W].
    """
    whole = images.to(torch.int32)
    code, own = step[:, 0, None, None, None], step[:, 1, None, None, None].to(torch.int32)
    grey = _grey(whole)
    mean = grey.sum((1, 2, 3), keepdim=True) * _FINE // grey[0].numel()
    # The most costly one is left out where no image needs it, which on a CPU can be asked without waiting.
    sharp = code.device.type != "cpu" or bool((code == SHARPNESS).any())
    poorer = _blurred(whole) * _FINE if sharp else torch.zeros_like(whole)
    poorer = torch.where(code == BRIGHTNESS, 0, poorer)
    poorer = torch.where(code == SATURATION, grey * _FINE, poorer)
    poorer = torch.where(code == CONTRAST, mean.to(torch.int32), poorer)
    mixed = whole * _FINE * own + poorer * (ONE - own)
    return mixed.div(_FINE * ONE, rounding_mode="floor").clamp(0, 255).to(torch.uint8)


def shift_hue(images: Tensor, step: Tensor) -> Tensor:
    """Turn the hue of each image by its amount, a share of the whole circle; grey images have none.

    Args:
        images: uint8 [B, C, H, W].
        step: int64 [B, COLUMNS].
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.to(torch.float32).unbind(1)
    most = torch.maximum(torch.maximum(red, green), blue)
    colour = most - torch.minimum(torch.minimum(red, green), blue)
    divisor = colour.clamp(min=1)
    sector = torch.where(
        most == red,
        (green - blue) / divisor,
        torch.where(most == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sector = sector + step[:, 1, None, None].to(torch.float32) * 6 / ONE + 6
    turned = []
    for start in (5, 3, 1):
        place = sector + start
        place = place - (place / 6).floor() * 6
        share = torch.minimum(place, 4 - place).clamp(0, 1)
        turned.append(most - colour * share)
    return (torch.stack(turned, 1) + 0.5).floor().clamp(0, 255).to(torch.uint8)


def _grey(whole: Tensor) -> Tensor:
    """Return the luma of each pixel, int32 [B, 1, H, W]."""
    if whole.shape[1] == 1:
        return whole
    red, green, blue = (part * weight for part, weight in zip(whole.unbind(1), _LUMA, strict=True))
    return ((red + green + blue) >> 14)[:, None]


def _blurred(whole: Tensor) -> Tensor:
    """Return each pixel as the mean of its 3 x 3 neighbours, itself five times; the edge as it is."""
    height, width = whole.shape[-2:]
    if height < 3 or width < 3:
        return whole
    rows = whole[..., :-2, :] + whole[..., 1:-1, :] + whole[..., 2:, :]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * whole[..., 1:-1, 1:-1]
    result = whole.clone()
    result[..., 1:-1, 1:-1] = (2 * total + 13) // 26
    return result
