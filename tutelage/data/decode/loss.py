"""What the choice of geometry loses: how much of the images is cut off."""

from collections.abc import Collection
from statistics import median_high

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.decode.resize import fitted_size

MUCH = 0.25
"""A crop that cuts off more than this share of the middle image is reported."""


def share_cut(size: tuple[int, int], settings: DataConfig) -> float:
    """Return the share of an image's area that is cut off.

    >>> share_cut((160, 32), DataConfig(image_size=32))
    0.8

    Args:
        size: width and height of the image.
        settings: how it is fitted.
    """
    height, width, _ = settings.shape
    wide, high = fitted_size(size, settings)
    return 1 - min(width, wide) * min(height, high) / (wide * high)


def crop_warning(sizes: Collection[tuple[int, int]], settings: DataConfig) -> str | None:
    """Return a line about what is cut off the middle image, with the remedy; None where that is little.

    >>> crop_warning([(160, 32)] * 3, DataConfig(image_size=32))
    'cropping cuts 80 % off the middle image: --data.fit pad or --data.fit squash keeps it whole'

    Args:
        sizes: width and height of each image.
        settings: how they are fitted.
    """
    if not sizes:
        return None
    cut = median_high(share_cut(size, settings) for size in sizes)
    if cut <= MUCH:
        return None
    return (
        f"cropping cuts {100 * cut:.0f} % off the middle image: {_remedy(settings)} keeps it whole"
    )


def _remedy(settings: DataConfig) -> str:
    found = []
    if settings.fit == "crop":
        found.append(f"{flag('data.fit')} pad or {flag('data.fit')} squash")
    if settings.crop_ratio < 1:
        found.append(f"{flag('data.crop_ratio')} 1")
    return " with ".join(found)
