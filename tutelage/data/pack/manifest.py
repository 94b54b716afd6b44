"""What a pack's manifest says of its images, checked: shape, classes, means and deviations."""

import math
from collections.abc import Mapping
from typing import Any

from tutelage.config.image_size import height_width, image_size
from tutelage.text import escape


def pixels_shape(manifest: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return the shape of the file of pixels: images, height, width, channels.

    Raises:
        ValueError, KeyError, TypeError: the manifest has no such numbers.
    """
    height, width = height_width(image_size(manifest["image_size"]))
    if not isinstance(settings := manifest["settings"], dict):
        raise TypeError("settings is not a table")
    return int(manifest["count"]), height, width, int(settings.get("channels", 3))


def class_names(found: Any) -> tuple[str, ...]:
    """Return the classes of a manifest.

    Raises:
        TypeError, ValueError: they are no list of names that can be printed.
    """
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise TypeError("classes is not a list of names")
    if odd := next((name for name in found if name != escape(name)), None):
        raise ValueError(f"a class name has characters that cannot be printed: {odd}")
    return tuple(found)


def require_numbers(manifest: Mapping[str, Any]) -> None:
    """Require sizes, channels, means and deviations that images can have.

    Raises:
        ValueError, KeyError, TypeError: they are not.
    """
    _, height, width, channels = pixels_shape(manifest)
    if channels not in (1, 3):
        raise ValueError("channels is neither 1 nor 3")
    for key in ("mean", "std"):
        values = manifest[key]
        if len(values) != channels or not all(math.isfinite(value) for value in values):
            raise ValueError(f"{key} is not a number for each channel")
    if max(height, width) > 1 << 16:
        raise ValueError("image_size is out of range")
    if not isinstance(manifest["settings"]["background"], str):
        raise TypeError("background is not a name")
