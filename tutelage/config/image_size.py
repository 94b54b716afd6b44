"""The size of images: the side of a square, or height and width."""

from collections.abc import Sequence
from typing import Any

ImageSize = int | tuple[int, int]
"""In pixels: one number for a square, or height and width."""


def height_width(size: ImageSize) -> tuple[int, int]:
    """Return height and width.

    >>> height_width(32), height_width((64, 128))
    ((32, 32), (64, 128))
    """
    return (size, size) if isinstance(size, int) else size


def image_size(found: Any) -> ImageSize:
    """Return the size that a file or a user gives as a number or as two, a square always as one number.

    >>> image_size([64, 128]), image_size([32, 32]), image_size(32)
    ((64, 128), 32, 32)

    Raises:
        ValueError: it is neither.
    """
    sides = found if isinstance(found, Sequence) else [found]
    if len(sides) not in (1, 2) or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError("a size is neither a number of pixels nor height and width")
    height, width = sides[0], sides[-1]
    return height if height == width else (height, width)


def spell_size(size: ImageSize) -> str:
    """Return a size as text: height x width.

    >>> spell_size(32), spell_size((64, 128))
    ('32 x 32', '64 x 128')
    """
    return " x ".join(map(str, height_width(size)))
