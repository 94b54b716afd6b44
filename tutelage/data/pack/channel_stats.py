"""Mean and standard deviation of many images from integer sums, exact in any order of images."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Sums = tuple[int, ...]
"""Of one image: the sum of the values in each channel, then of their squares."""


def channel_sums(pixels: NDArray[np.uint8]) -> Sums:
    """Return the sums of pixels [H, W, C]; H at most 4096, so that no sum of a column overflows."""
    # Whole rows are summed first: contiguous numbers, which numpy does fast and without the GIL.
    rows = pixels.reshape(len(pixels), -1)
    values = rows.sum(0, dtype=np.uint32)
    squares = np.multiply(rows, rows, dtype=np.uint16).sum(0, dtype=np.uint32)
    values, squares = (
        sums.reshape(-1, pixels.shape[2]).sum(0, dtype=np.int64) for sums in (values, squares)
    )
    return (*values.tolist(), *squares.tolist())


def channel_mean_std(sums: Iterable[Sums], pixels: int) -> tuple[list[float], list[float]]:
    """Return mean and population standard deviation of value / 255 by channel.

    Args:
        sums: of each image.
        pixels: number of pixels of all these images together.

    >>> channel_mean_std([(255, 0, 255, 65025, 0, 65025), (0, 0, 255, 0, 0, 65025)], 2)
    ([0.5, 0.0, 1.0], [0.5, 0.0, 0.0])
    """
    whole = [sum(column) for column in zip(*sums, strict=True)]
    channels = len(whole) // 2
    mean = [value / (255 * pixels) for value in whole[:channels]]
    # n * sum(x^2) - sum(x)^2 in whole numbers: nothing is lost by taking the difference.
    spread = [
        pixels * square - value**2
        for value, square in zip(whole[:channels], whole[channels:], strict=True)
    ]
    return mean, [math.sqrt(part / (255 * pixels) ** 2) for part in spread]
