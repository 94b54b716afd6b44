"""Views: augmentation as a pure function of (pixels, image key, view number, seed of the views).

There is no generator whose history matters. Each number comes from a counter-based hash of its purpose, so
the same image gets the same view in any batch, order or number of processes, and after a resume; that makes a
teacher's cached outputs exact. `view_version` names this implementation in a cache's manifest.

A view is planned on the host, for a whole epoch at once: a few whole numbers per image. It is applied where
the pixels are, by whole-number arithmetic alone, so that every device gives the same result. In this order:
random resized crop, shift, mirror, the operations of `operations.py` (rotation, TrivialAugment, RandAugment,
colour jitter), erasing. Mixing two images comes after (`mixup.py`).
"""

import math

import torch
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.augment.apply import apply_operations
from tutelage.data.augment.erase import erase, plan_erasing
from tutelage.data.augment.operations import COLUMNS, plan_operations, steps_of
from tutelage.data.augment.random_resized_crop import crop

IDENTITY = "views-2"
"""Changes when a planned view comes to mean other pixels."""

_AREA, _SHAPE, _TOP, _LEFT, _SHIFT_Y, _SHIFT_X, _MIRROR = range(7)
_SHAPES = math.log(3 / 4), math.log(4 / 3)


def view_version(device: torch.device) -> str:
    """Return the name of this implementation on a device. They are tested to agree, and still kept apart."""
    return IDENTITY if device.type == "cpu" else f"{IDENTITY}-gathered"


def plan_views(
    keys: Tensor, *, view: int, settings: AugmentationConfig, size: tuple[int, int]
) -> Tensor:
    """Plan the numbered view of each image.

    Args:
        keys: int64 [B] on the host, identifying each image.
        view: number of the view.
        settings: which changes are allowed, and the seed.
        size: height and width of the images.

    Returns:
        int64 [B, K]: top, left, height and width of the crop; steps down and right of the shift; 1 where
        mirrored; then, where the settings have them, the box to erase and the operations.
    """

    def number(stream: int) -> Tensor:
        return uniform(keys, view=view, seed=settings.view_seed, stream=stream)

    height, width = size
    still = torch.zeros_like(keys)
    changes = [still, still, still + height, still + width, still, still, still]
    if settings.crop_scale is not None:
        share = settings.crop_scale + (1 - settings.crop_scale) * number(_AREA)
        ratio = torch.exp(_SHAPES[0] + (_SHAPES[1] - _SHAPES[0]) * number(_SHAPE))
        heights = (height * (share / ratio).sqrt()).round().clamp(1, height).to(torch.int64)
        widths = (width * (share * ratio).sqrt()).round().clamp(1, width).to(torch.int64)
        tops = (number(_TOP) * (height - heights + 1)).to(torch.int64)
        lefts = (number(_LEFT) * (width - widths + 1)).to(torch.int64)
        changes[:4] = [tops, lefts, heights, widths]
    if settings.translate:
        ways = 2 * settings.translate + 1
        for place, stream in ((4, _SHIFT_Y), (5, _SHIFT_X)):
            changes[place] = (number(stream) * ways).to(torch.int64) - settings.translate
    if settings.flip:
        changes[6] = (number(_MIRROR) < 0.5).to(torch.int64)
    planned = [torch.stack(changes, dim=1)]
    if settings.random_erasing is not None:
        planned.append(plan_erasing(number, settings.random_erasing, size))
    if steps_of(settings):
        planned.append(plan_operations(number, settings, size))
    return torch.cat(planned, 1)


def apply_views(images: Tensor, changes: Tensor, settings: AugmentationConfig) -> Tensor:
    """Apply the planned view of each image.

    Args:
        images: uint8 [B, C, H, W].
        changes: int64 [B, K] from `plan_views`, on the device of the images.
        settings: those of the plan.

    Returns:
        uint8 [B, C, H, W], a new tensor, or `images` itself where nothing may change.
    """
    if settings.crop_scale is not None:
        images = crop(images, changes[:, :4])
    if settings.translate:
        images = _shifted(images, changes[:, 4], changes[:, 5])
    if settings.flip:
        mirrored = (changes[:, 6] > 0)[:, None, None, None]
        images = torch.where(mirrored, images.flip(-1), images)
    rest = changes[:, 7:]
    if steps_of(settings):
        images = apply_operations(images, rest[:, -steps_of(settings) * COLUMNS :])
    if settings.random_erasing is not None:
        images = erase(images, rest[:, :4])
    return images


def uniform(keys: Tensor, *, view: int, seed: int, stream: int) -> Tensor:
    """Return one number in [0, 1) for each key, independent between keys, views, seeds and streams.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014) applied to a running mixture of the parts. int64
    arithmetic wraps, which is what the mixing needs.

    Args:
        keys: int64 [B].
        view: number of the view.
        seed: of the views.
        stream: what the number is for.

    Returns:
        float64 [B].
    """
    mixed = keys
    for part in (seed, view, stream):
        mixed = _mix(mixed + _wrapped((part + 1) * 0x9E3779B97F4A7C15))
    return _shift_right(mixed, 11).to(torch.float64) * 2.0**-53


def _wrapped(number: int) -> int:
    """Return the int64 with the same low 64 bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(value: Tensor) -> Tensor:
    value = (value ^ _shift_right(value, 30)) * -0x40A7B892E31B1A47
    value = (value ^ _shift_right(value, 27)) * -0x6B2FB644ECCEEE15
    return value ^ _shift_right(value, 31)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)  # int64 >> copies the sign; a hash must not


def _shifted(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    height, width = images.shape[-2:]

    def sources(offset: Tensor, size: int) -> Tensor:
        return (torch.arange(size, device=images.device) + offset[:, None]).clamp(0, size - 1)

    rows = sources(down, height)[:, None, :, None].expand(-1, images.shape[1], -1, width)
    columns = sources(right, width)[:, None, None, :].expand(-1, images.shape[1], height, -1)
    return images.gather(2, rows).gather(3, columns)
