"""Rotation, colour jitter, RandAugment and TrivialAugment, planned as steps of one operation each.

Each image of each view has its own operations. They are drawn here, on the host, from the same counter-based
numbers as the rest of a view, and become whole numbers: a code, an amount, and for geometry a matrix. The
operations, their ranges and their order are those of torchvision.transforms.v2 (BSD-3-Clause): RandAugment
(Cubuk et al. 2020, arXiv:1909.13719), TrivialAugmentWide (Mueller and Hutter 2021, arXiv:2103.10158),
ColorJitter and RandomRotation.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig

ONE = 1 << 14
"""An amount of 1: factors, shares of a turn and thresholds are whole numbers of 1 / ONE."""
TURN = 1 << 16
"""An entry of 1 of a matrix."""

IDENTITY, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, ROTATE = range(6)
BRIGHTNESS, SATURATION, CONTRAST, SHARPNESS = range(6, 10)
POSTERIZE, SOLARIZE, AUTOCONTRAST, EQUALIZE, HUE = range(10, 15)
GEOMETRY, BLENDS, TABLES = (
    range(SHEAR_X, ROTATE + 1),
    range(BRIGHTNESS, SHARPNESS + 1),
    range(POSTERIZE, EQUALIZE + 1),
)
COLUMNS = 8
"""Whole numbers of a step: code, amount, and the six of a matrix."""

_FIRST_STREAM, _STREAMS = 64, 4
_BINS = 31
_JITTERED = (BRIGHTNESS, CONTRAST, SATURATION, HUE)
_ORDERS = torch.tensor(list(itertools.permutations(range(4))))


class _Range(NamedTuple):
    """Magnitudes of an operation: from `first` to `last` in equal steps, with a sign or without."""

    first: float
    last: float
    signed: bool = True


def _ranges(
    shear: float, across: float, down: float, turn: float, colour: float, bits: float
) -> dict[int, _Range]:
    none = _Range(0, 0, signed=False)
    blends = dict.fromkeys(BLENDS, _Range(0, colour))
    return {
        IDENTITY: none,
        SHEAR_X: _Range(0, shear),
        SHEAR_Y: _Range(0, shear),
        TRANSLATE_X: _Range(0, across),
        TRANSLATE_Y: _Range(0, down),
        ROTATE: _Range(0, turn),
        **blends,
        POSTERIZE: _Range(8, bits, signed=False),
        SOLARIZE: _Range(1, 0, signed=False),
        AUTOCONTRAST: none,
        EQUALIZE: none,
    }


def steps_of(settings: AugmentationConfig) -> int:
    """Return how many steps of one operation the views of some settings take."""
    many = settings.rand_augment[0] if settings.rand_augment is not None else 0
    turned, jittered = settings.rotation is not None, settings.color_jitter is not None
    return int(turned) + int(settings.trivial_augment) + many + 4 * int(jittered)


def plan_operations(
    number: Callable[[int], Tensor], settings: AugmentationConfig, size: tuple[int, int]
) -> Tensor:
    """Plan the operations of each image: rotation, TrivialAugment, RandAugment, colour jitter, in this order.

    Args:
        number: one number in [0, 1) for each of B images, float64, by stream.
        settings: which of them, and how far.
        size: height and width of the images.

    Returns:
        int64 [B, steps * COLUMNS].
    """
    streams = itertools.count(_FIRST_STREAM, _STREAMS)
    steps = [
        torch.cat([code[:, None], amount[:, None], _matrices(code, magnitude, size)], 1)
        for code, amount, magnitude in _drawn(number, settings, size, streams)
    ]
    return torch.cat(steps, 1)


def _drawn(
    number: Callable[[int], Tensor],
    settings: AugmentationConfig,
    size: tuple[int, int],
    streams: Iterator[int],
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield codes, amounts and magnitudes of each step, [B] each."""
    height, width = size
    if settings.rotation is not None:
        angle = (2 * number(next(streams)) - 1) * settings.rotation
        code = torch.full_like(angle, ROTATE, dtype=torch.int64)
        yield code, torch.zeros_like(code), angle
    if settings.trivial_augment:
        wide = _ranges(0.99, 32, 32, 135, 0.99, 2)
        stream = next(streams)
        bins = (number(stream + 2) * _BINS).floor()
        yield _chosen(number, stream, wide, bins)
    if settings.rand_augment is not None:
        many, magnitude = settings.rand_augment
        usual = _ranges(0.3, 150 / 331 * width, 150 / 331 * height, 30, 0.9, 4)
        for _ in range(many):
            stream = next(streams)
            yield _chosen(number, stream, usual, torch.full_like(number(stream), magnitude))
    if settings.color_jitter is not None:
        yield from _jitter(number, next(streams), settings.color_jitter)


def _chosen(
    number: Callable[[int], Tensor], stream: int, ranges: dict[int, _Range], bins: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw an operation and a sign for each image, at the magnitude of its bin."""
    code = (number(stream) * len(ranges)).to(torch.int64)
    first, last, signed = (
        torch.tensor([float(one[part]) for one in ranges.values()], dtype=torch.float64)[code]
        for part in range(3)
    )
    magnitude = first + (last - first) * bins / (_BINS - 1)
    magnitude = torch.where(code == POSTERIZE, magnitude.round(), magnitude)
    negative = (number(stream + 1) < 0.5) & (signed > 0)
    magnitude = torch.where(negative, -magnitude, magnitude)
    amount = torch.where(_within(code, BLENDS), 1 + magnitude, magnitude)
    return code, (amount * ONE).round().to(torch.int64), magnitude


def _jitter(
    number: Callable[[int], Tensor], stream: int, most: tuple[float, float, float, float]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield brightness, contrast, saturation and hue in an order of its own for each image."""
    order = _ORDERS[(number(stream) * len(_ORDERS)).to(torch.int64)]
    shifts = torch.stack(
        [(2 * number(stream + 1 + part) - 1) * far for part, far in enumerate(most)], 1
    )
    for step in range(4):
        code = torch.tensor(_JITTERED)[order[:, step]]
        shift = shifts.gather(1, order[:, step : step + 1])[:, 0]
        amount = torch.where(code == HUE, shift, 1 + shift)
        yield code, (amount * ONE).round().to(torch.int64), torch.zeros_like(shift)


def _matrices(code: Tensor, magnitude: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where each output pixel comes from, int64 [B, 6]: rows of a 2 x 3 matrix in 1 / TURN.

    Coordinates are twice the distance from the image's middle, so that they are whole numbers.
    """
    height, width = size
    zero, one = torch.zeros_like(magnitude), torch.ones_like(magnitude)

    def where(kind: int, value: Tensor, otherwise: Tensor = zero) -> Tensor:
        return torch.where(code == kind, value, otherwise)

    angle = torch.deg2rad(where(ROTATE, magnitude))
    shear_x, shear_y = where(SHEAR_X, magnitude), where(SHEAR_Y, magnitude)
    right = where(TRANSLATE_X, magnitude.trunc() * -2) + shear_x * height
    down = where(TRANSLATE_Y, magnitude.trunc() * -2) + shear_y * width
    rows = [
        one * angle.cos(), shear_x - angle.sin(), right,
        shear_y + angle.sin(), one * angle.cos(), down,
    ]  # fmt: skip
    return (torch.stack(rows, 1) * TURN).round().to(torch.int64)


def _within(code: Tensor, codes: range) -> Tensor:
    return (code >= codes.start) & (code < codes.stop)
