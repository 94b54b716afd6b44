"""Images of more than 8 bits: their values, and how these become 8-bit levels.

Without a range, 16-bit values become levels by their 8 high bits, whatever they fill. With one, its ends
become 0 and 255, the same for every image. Pillow reads 16-bit colour by its high bytes alone; its reader of
the other byte order gives the low ones.
"""

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

LEVELS = 256
_BITS, _PHOTOMETRIC = 258, 262
_LOW = {"16B": "16L", "16L": "16B", "16N": "16B" if np.little_endian else "16L"}


class Deep(NamedTuple):
    """The values of an image of more than 8 bits."""

    values: NDArray[np.generic]
    """uint16, int32 or float32, [H, W] or [H, W, 3]."""
    alpha: NDArray[np.uint8] | None
    """[H, W], where there is transparency."""
    bits: int | None
    """How many a value has; None: without a defined range."""
    inverted: bool
    """Whether white is zero."""


def is_deep(image: Image.Image) -> bool:
    """Return whether an image, opened or loaded, has values of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16") or _rawmode(image) != ""


def states_range(image: Image.Image) -> bool:
    """Return whether a grey image of more than 8 bits says how many; PPM does so by its maximum."""
    return image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM")


def read_deep(image: Image.Image, raw: bytes) -> Deep | None:
    """Return the values of an opened image, in the order of the file; None: 8 bits hold them.

    Args:
        image: opened from `raw`, not yet loaded.
        raw: the bytes of the file.
    """
    if rawmode := _rawmode(image):
        return _colour(image, raw, rawmode)
    if not is_deep(image):
        return None
    tags = getattr(image, "tag_v2", {})
    image.load()
    values = np.asarray(image)
    if states_range(image):
        values = values.astype(np.uint16, copy=False)
    alpha = None
    if isinstance(clear := image.info.get("transparency"), int):
        alpha = np.where(values == clear, np.uint8(0), np.uint8(255))
    bits = tags.get(_BITS, (16,))
    depth = bits[0] if isinstance(bits, tuple) else 16
    stated = depth if states_range(image) else None
    return Deep(values, alpha, stated, tags.get(_PHOTOMETRIC) == 0)


def to_levels(deep: Deep, limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Return the 8-bit levels of values: the high bits, or those in a range, rounded to the nearest, half up.

    Args:
        deep: with a defined range, or any where there are limits.
        limits: what becomes 0 and 255; values beyond are cut off. None: the high bits.
    """
    every = np.arange(1 << 16)
    if limits is None:
        assert deep.bits is not None
        table = (every >> (deep.bits - 8)).astype(np.uint8)
    else:
        table = _in_range(every, *limits)
    levels = np.empty(deep.values.shape, np.uint8)
    for row, values in zip(levels, deep.values, strict=True):  # little memory for large images
        if values.dtype.kind == "u":
            row[:] = table[values]
        elif limits is not None:
            row[:] = _in_range(values, *limits)
    return np.subtract(255, levels, out=levels) if deep.inverted else levels


def _in_range(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    share = (values.astype(np.float64) - low) / (high - low)
    whole = np.nan_to_num(share, posinf=1, neginf=0).clip(0, 1)
    return np.floor(whole * (LEVELS - 1) + 0.5).astype(np.uint8)


def from_levels(levels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> Image.Image:
    """Return 8-bit levels as an image."""
    image = Image.fromarray(levels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image


def _rawmode(image: Image.Image) -> str:
    """Return the raw mode of 16-bit colour or grey with alpha that is not loaded yet; otherwise nothing."""
    if (
        not isinstance(image, ImageFile)
        or image.mode not in ("RGB", "RGBA", "LA")
        or not image.tile
    ):
        return ""
    arguments = image.tile[0].args
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) and mode.partition(";")[2] in _LOW else ""


def _colour(image: Image.Image, raw: bytes, rawmode: str) -> Deep:
    name, _, order = rawmode.partition(";")
    if name == "LA":  # four bytes a pixel, as those of an 8-bit RGBA
        parts = _read_as(image, raw, "RGBA", "RGBA").astype(np.uint16)
        return Deep(parts[..., 0] << 8 | parts[..., 1], parts[..., 2].astype(np.uint8), 16, False)
    high = _read_as(image, raw, image.mode, rawmode)
    low = _read_as(image, raw, image.mode, f"{name};{_LOW[order]}")
    alpha = high[..., 3] if high.shape[-1] == 4 else None
    values = high[..., :3].astype(np.uint16)
    values <<= 8
    values |= low[..., :3]
    return Deep(values, alpha, 16, False)


def _read_as(image: Image.Image, raw: bytes, mode: str, rawmode: str) -> NDArray[np.uint8]:
    """Read a file with another unpacker than Pillow's own choice."""
    with Image.open(io.BytesIO(raw), formats=(str(image.format),)) as again:
        again._mode = mode
        again.tile = [
            part._replace(
                args=(rawmode, *part.args[1:]) if isinstance(part.args, tuple) else rawmode
            )
            for part in again.tile
        ]
        return np.asarray(again)
