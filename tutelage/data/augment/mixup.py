"""Views made of two images. Which two, and in which shares, is a function of the view.

MixUp blends two images (Zhang et al. 2018, arXiv:1710.09412); CutMix puts a piece of one into the other (Yun
et al. 2019, arXiv:1905.04899). There, partners are drawn within a batch. Here partner and share are pure
functions of (view seed, key of the image, view number) and the partner, one of the training images, is shown
in its own view of that number: the mixture a student is trained on is the one its teacher's outputs were
computed for, in any batch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.augment.views import uniform

_PARTNER, _WAY, _POWER, _ANGLE, _CENTRE_Y, _CENTRE_X = range(7, 13)
_PARTS = 1 << 16


class Mixtures(NamedTuple):
    """How each of N images is mixed."""

    partners: Tensor
    """int64 [N], rows of the pack."""
    shares: Tensor
    """float32 [N], the part of the view that is the image itself, a multiple of 2^-16 where blended."""
    boxes: Tensor
    """int64 [N, 4], top, left, bottom and right of the partner's piece; empty where there is none."""


def plan_mixtures(
    keys: Tensor, *, among: Tensor, view: int, settings: AugmentationConfig, size: tuple[int, int]
) -> Mixtures:
    """Plan how the numbered view of each image is mixed.

    Args:
        keys: int64 [N] on the host, identifying each image.
        among: int64 [R], the rows that partners are drawn from.
        view: number of the view.
        settings: mixup, cutmix or both, and the seed.
        size: height and width of the images.
    """

    def number(stream: int) -> Tensor:
        return uniform(keys, view=view, seed=settings.view_seed, stream=stream)

    height, width = size
    cut = _cut(settings, number(_WAY))
    mixup, cutmix = (
        torch.tensor(a or 1.0, dtype=torch.float64) for a in (settings.mixup, settings.cutmix)
    )
    power = torch.where(cut, cutmix, mixup)
    share = symmetric_beta(number(_POWER), number(_ANGLE), power)
    scale = torch.where(cut, (1 - share).sqrt(), 0.0)
    top, bottom = _stretch(scale, number(_CENTRE_Y), height)
    left, right = _stretch(scale, number(_CENTRE_X), width)
    covered = (bottom - top) * (right - left)
    left_over = 1 - covered.to(torch.float64) / (height * width)
    return Mixtures(
        partners=among[(number(_PARTNER) * len(among)).to(torch.int64)],
        shares=torch.where(cut, left_over, (share * _PARTS).round() / _PARTS).to(torch.float32),
        boxes=torch.stack([top, left, bottom, right], dim=1),
    )


def apply_mixtures(
    images: Tensor, others: Tensor, shares: Tensor, boxes: Tensor, settings: AugmentationConfig
) -> Tensor:
    """Mix each image with its partner; a blend is rounded to the nearest whole number, a half up.

    Args:
        images: uint8 [B, 3, H, W].
        others: uint8 [B, 3, H, W], the partners.
        shares: float32 [B], from `plan_mixtures`.
        boxes: int64 [B, 4], from `plan_mixtures`.
        settings: those of the plan.

    Returns:
        uint8 [B, 3, H, W].
    """
    top, left, bottom, right = boxes.T[:, :, None]
    result = images
    if settings.mixup is not None:
        boxed = ((bottom > top) & (right > left))[:, 0]
        share = torch.where(boxed, 1.0, shares)[:, None, None, None]
        # A pixel by a multiple of 2^-16 is exact in fp32, and so is the sum of two of them.
        result = (images * share).add_(others * (1 - share)).add_(0.5).to(torch.uint8)
    if settings.cutmix is not None:
        rows = torch.arange(images.shape[2], device=images.device)
        columns = torch.arange(images.shape[3], device=images.device)
        down = (rows >= top) & (rows < bottom)
        along = (columns >= left) & (columns < right)
        inside = (down[:, :, None] & along[:, None, :])[:, None]
        result = torch.where(inside, others, result)
    return result


def symmetric_beta(first: Tensor, second: Tensor, power: Tensor) -> Tensor:
    """Draw numbers from Beta(a, a), each from two that are uniform in [0, 1).

    Exact for any a > 0, without rejection: if t follows Student's distribution with 2 a degrees of freedom
    then (1 + t / sqrt(2 a + t^2)) / 2 follows Beta(a, a), and t is drawn by the polar method of Bailey 1994
    (Mathematics of Computation 62, 779). Written with u^(1/a) alone, which may vanish, rather than with its
    inverse, which overflows.

    Args:
        first: float64 [N].
        second: float64 [N].
        power: float64 [N], a.

    Returns:
        float64 [N] in [0, 1].
    """
    low = first ** (1 / power)
    cosine = torch.cos(2 * math.pi * second)
    stretch = (1 - low) * cosine**2
    return (1 + cosine.sign() * (stretch / (low + stretch)).sqrt()) / 2


def _cut(settings: AugmentationConfig, number: Tensor) -> Tensor:
    """Return which views are cut rather than blended: half of them where both are set."""
    if settings.mixup is not None and settings.cutmix is not None:
        return number < 0.5
    return torch.full_like(number, settings.cutmix is not None, dtype=torch.bool)


def _stretch(scale: Tensor, centre: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return where a piece begins and ends along a side, cut off at the image's edge."""
    length = (scale * size).round()
    begin = (centre * size - length / 2).round()
    low, high = begin.clamp(0, size), (begin + length).clamp(0, size)
    return low.to(torch.int64), high.to(torch.int64)
