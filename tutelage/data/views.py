"""Views: augmentation as a pure function of (pixels, image key, view number, seed).

There is no generator whose history matters. Each number comes from a counter-based hash of what it is
for, so the same picture gets the same view in any batch, order, process count or after a resume; that
is what makes a teacher's cached word exact. `IDENTITY` names this implementation in a cache's manifest.

A view is, in this order: random resized crop, shift, mirror, all on uint8. Left out on purpose: mixing
two pictures, and colour.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tutelage.data.view_settings import Views

IDENTITY = "views-1"

_AREA, _SHAPE, _TOP, _LEFT, _SHIFT_Y, _SHIFT_X, _MIRROR = range(7)
_SHAPES = math.log(3 / 4), math.log(4 / 3)


def draw(images: Tensor, keys: Tensor, *, view: int, seed: int, settings: Views) -> Tensor:
    """The numbered view of each picture.

    Args:
        images: uint8 [B, 3, H, W].
        keys: int64 [B], what identifies each picture.
        view: the number of the view, the same for the whole batch.
        seed: of the run.
        settings: which changes are allowed.

    Returns:
        uint8 [B, 3, H, W], a new tensor, or `images` itself where views are fixed.
    """
    if settings.fixed:
        return images

    def number(stream: int) -> Tensor:
        return uniform(keys, view=view, seed=seed, stream=stream)

    if settings.crop is not None:
        images = _resized_crops(
            images, settings.crop, number(_AREA), number(_SHAPE), number(_TOP), number(_LEFT)
        )
    if settings.shift:
        images = _shifted(images, settings.shift, number(_SHIFT_Y), number(_SHIFT_X))
    if settings.flip:
        mirrored = (number(_MIRROR) < 0.5)[:, None, None, None]
        images = torch.where(mirrored, images.flip(-1), images)
    return images


def uniform(keys: Tensor, *, view: int, seed: int, stream: int) -> Tensor:
    """One number in [0, 1) for each key, independent between keys, views, seeds and streams.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014) applied to a running mixture of the parts.
    int64 arithmetic wraps, which is what the mixing wants. keys: int64 [B]; returns float64 [B].
    """
    mixed = keys
    for part in (seed, view, stream):
        mixed = _mix(mixed + _wrapped((part + 1) * 0x9E3779B97F4A7C15))
    return _shift_right(mixed, 11).to(torch.float64) * 2.0**-53


def _wrapped(number: int) -> int:
    """The int64 with the same low 64 bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(value: Tensor) -> Tensor:
    value = (value ^ _shift_right(value, 30)) * -0x40A7B892E31B1A47
    value = (value ^ _shift_right(value, 27)) * -0x6B2FB644ECCEEE15
    return value ^ _shift_right(value, 31)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)  # int64 >> copies the sign; a hash must not


def _resized_crops(
    images: Tensor, smallest: float, area: Tensor, shape: Tensor, top: Tensor, left: Tensor
) -> Tensor:
    height, width = images.shape[-2:]
    share = smallest + (1 - smallest) * area
    ratio = torch.exp(_SHAPES[0] + (_SHAPES[1] - _SHAPES[0]) * shape)
    heights = (height * (share / ratio).sqrt()).round().clamp(1, height).to(torch.int64)
    widths = (width * (share * ratio).sqrt()).round().clamp(1, width).to(torch.int64)
    tops = (top * (height - heights + 1)).to(torch.int64)
    lefts = (left * (width - widths + 1)).to(torch.int64)
    boxes = torch.stack([tops, lefts, heights, widths], dim=1).tolist()
    views = [
        interpolate(
            image[None, :, y : y + h, x : x + w],
            size=(height, width),
            mode="bilinear",
            antialias=True,
        )
        for image, (y, x, h, w) in zip(images, boxes, strict=True)
    ]
    return torch.cat(views)


def _shifted(images: Tensor, most: int, y: Tensor, x: Tensor) -> Tensor:
    height, width = images.shape[-2:]

    def sources(number: Tensor, size: int) -> Tensor:
        offset = (number * (2 * most + 1)).to(torch.int64) - most
        return (torch.arange(size, device=images.device) + offset[:, None]).clamp(0, size - 1)

    rows = sources(y, height)[:, None, :, None].expand(-1, images.shape[1], -1, width)
    columns = sources(x, width)[:, None, None, :].expand(-1, images.shape[1], height, -1)
    return images.gather(2, rows).gather(3, columns)
