"""Thumbnails of packed images as data URIs, within a budget of bytes for the whole page."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutelage.data.decode.prepare import pixel_key
from tutelage.data.pack.pack import FIX, KIND
from tutelage.errors import InputError
from tutelage.reports.record.types import DataRecord

PNG_UP_TO = 64
THUMBNAIL = 112


class Thumbnails:
    """Turns rows of the pack into data URIs until the budget is spent."""

    def __init__(self, data: DataRecord | None, budget_bytes: int) -> None:
        self._data = data
        self._left = budget_bytes
        self._made: dict[int, str] = {}

    def uri(self, image_id: int) -> str | None:
        """Return the thumbnail of one image; None if the pack is missing or the budget is spent.

        Raises:
            InputError: its pixels are not those that were packed.
        """
        if image_id in self._made:
            return self._made[image_id]
        pixels = None if self._data is None else _pixels(self._data, image_id)
        if pixels is None:
            return None
        uri = image_uri(pixels)
        if len(uri) > self._left:
            return None
        self._left -= len(uri)
        self._made[image_id] = uri
        return uri


def _pixels(data: DataRecord, image_id: int) -> NDArray[np.uint8] | None:
    if data.pixels is None or data.keys is None or not 0 <= image_id < len(data.pixels):
        return None
    pixels = np.asarray(data.pixels[image_id])
    if pixel_key(pixels) != data.keys[image_id]:
        raise InputError(
            f"{KIND} that is damaged",
            found=f"the pixels of image {image_id} are not those that were packed",
            fix=FIX,
        )
    return pixels


def image_uri(pixels: NDArray[np.uint8]) -> str:
    """Encode uint8 pixels [H, W, C]: PNG up to 64 pixels, so that small images are exact, else JPEG."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    if max(image.size) <= PNG_UP_TO:
        grey = bool((pixels[..., :1] == pixels).all())
        (image.convert("L") if grey else image).save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        image.save(buffer, "JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
