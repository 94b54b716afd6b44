"""Decode the bytes of one image file to RGB pixels by fixed rules, or give a short reason why not.

The rules: the content decides, not the name; rotation by EXIF is applied; grey, palette, 1-bit, CMYK, LAB and
16-bit become 8-bit RGB (16-bit by its high bits, or by the one range of the data set, never stretched per
image); transparent pixels are laid on the background colour; of several images the first counts; colour
profiles are not applied. Floating-point and 32-bit images have no range of their own and need that of the
data set.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.decode.deep import from_levels, read_deep, states_range, to_levels
from tutelage.data.decode.signatures import end_note, file_family, foreign_format, is_truncated
from tutelage.data.readers.source import Unreadable
from tutelage.errors import MachineError

_CODECS = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
"""Formats for which Pillow may have been built without a decoder, by its name for the decoder."""
_LARGE = 16_000_000
_large_ones = threading.Lock()
_ORIENTATION = 274
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP = {"I": "32-bit", "F": "floating-point"}
_NOTES = {"1": "1-bit", "L": "grey", "LA": "grey", "P": "palette", "PA": "palette"}


class Decoded(NamedTuple):
    """A decoded image."""

    pixels: NDArray[np.uint8]
    """uint8 [H, W, 3], RGB."""
    notes: tuple[str, ...]
    """What had to be decided on the way (for example `cmyk`)."""


def decode(raw: bytes, settings: DataConfig) -> Decoded:
    """Decode one image file to upright RGB pixels.

    Raises:
        Unreadable: not an image of a known format, damaged, too large, or without a defined range.
    """
    image, notes = open_image(raw, settings)
    return Decoded(np.asarray(image), notes)


def open_image(raw: bytes, settings: DataConfig) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode as `decode` does, but return the RGB image and the notes.

    Raises:
        Unreadable: see `decode`.
        MachineError: there is not enough memory for an image within the limit.
    """
    family = file_family(raw)
    if family is None:
        raise Unreadable(foreign_format(raw))
    if family in _CODECS and not features.check(_CODECS[family]):
        raise Unreadable(f"format not supported: {family}, which this Pillow cannot decode")
    notes: list[str] = []
    try:
        with decided_warnings(), Image.open(io.BytesIO(raw), formats=(family,)) as image:
            rgb = _decoded(image, raw, settings, notes)
    except Unreadable:
        raise
    except MemoryError as error:
        raise MachineError(
            "not enough memory to decode an image", fix="--data.max-pixels"
        ) from error
    except Exception as error:  # a damaged file can raise nearly anything from a decoder
        raise Unreadable(_reason(error, raw, settings)) from error
    if note := end_note(raw):
        notes.append(note)
    return rgb, tuple(notes)


@contextlib.contextmanager
def decided_warnings() -> Iterator[None]:
    """Silence Pillow's warnings while the block runs, once for all threads: they are handled here.

    Too many pixels: our own limit is checked right after. All others are about damaged metadata (EXIF, the
    second image of an MPO), which is ignored.
    """
    global _users, _filters
    with _lock:
        _users += 1
        if _users == 1:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _filters.__exit__(None, None, None)


_lock = threading.Lock()
_users = 0
_filters: "warnings.catch_warnings[None]" = warnings.catch_warnings()


def taking_turns(image: Image.Image) -> contextlib.AbstractContextManager[object]:
    """Decode large images one at a time, so that memory does not grow with the cores."""
    large = image.width * image.height > _LARGE
    return _large_ones if large else contextlib.nullcontext()


def _reason(error: Exception, raw: bytes, settings: DataConfig) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(settings)
    text = str(error).lower()
    if is_truncated(raw) or "truncated" in text or "unexpected end" in text:
        return "truncated"
    if "too large" in text or "too much memory" in text:
        return "side information that inflates too far"
    return "damaged header" if isinstance(error, UnidentifiedImageError) else "damaged"


def _too_large(settings: DataConfig) -> str:
    return f"larger than {settings.max_pixels / 1e6:g} MP"


def _decoded(image: Image.Image, raw: bytes, settings: DataConfig, notes: list[str]) -> Image.Image:
    """Decode the first image of an opened file, upright, in RGB; its size is checked before decoding."""
    if image.width * image.height > settings.max_pixels:
        raise Unreadable(_too_large(settings))
    if image.format == "MPO" or _several(image):
        notes.append("first of several")
    tags = getattr(image, "tag_v2", {})
    turned = tags.get(_ORIENTATION) in _TURNS  # load rotates a TIFF itself
    with taking_turns(image):
        return _converted(image, raw, settings, notes, turned)


def _converted(
    image: Image.Image,
    raw: bytes,
    settings: DataConfig,
    notes: list[str],
    turned: bool,
) -> Image.Image:
    deep = None
    if settings.range is not None or states_range(image):
        deep = read_deep(image, raw)
    if deep is None:
        image.load()
        levels = image
    else:
        levels = from_levels(to_levels(deep, settings.range), deep.alpha)
    upright = levels if deep and image.format == "TIFF" else _upright(levels, image)
    if turned or upright is not levels:
        notes.append("rotated")
    if deep is not None:
        notes.append("16-bit" if deep.bits else _DEEP[image.mode])
    return _rgb(upright, settings.background, notes)


def _several(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # the later images are damaged; only the first is used
        return False


def _upright(levels: Image.Image, image: Image.Image) -> Image.Image:
    """Turn the pixels of an image as its EXIF says."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF is ignored
        return levels
    return levels if turn is None else levels.transpose(turn)


def _rgb(image: Image.Image, background: str, notes: list[str]) -> Image.Image:
    if image.mode in ("F", "I"):
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise Unreadable(f"{kind} pixels have no stated range: {flag('data.range')} LOW HIGH")
    if image.mode != "RGB":
        notes.extend(filter(None, [_NOTES.get(image.mode)]))
        notes.extend([image.mode.lower()] if image.mode in ("CMYK", "LAB") else [])
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    opaque = rgba.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return opaque
    notes.append("transparent")
    below = Image.new("RGB", rgba.size, background)
    below.paste(opaque, mask=alpha)
    return below
