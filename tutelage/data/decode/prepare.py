"""Read, decode and resize many images, in order, on all cores, with bounded memory."""

import hashlib
import math
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutelage.config.data import DataConfig
from tutelage.data.decode.decode import decided_warnings, open_image
from tutelage.data.decode.parallel import in_order
from tutelage.data.decode.resize import resize
from tutelage.data.decode.signatures import wrong_suffix
from tutelage.data.readers.source import Item, Unreadable

Made = TypeVar("Made")

_CHUNK_BYTES = 1 << 20


class Prepared(NamedTuple):
    """One image as stored."""

    pixels: NDArray[np.uint8]
    """uint8 [H, W, C]."""
    key: int
    """See `pixel_key`."""
    width: int
    """Before resizing, in pixels; so is `height`."""
    height: int
    notes: tuple[str, ...]
    """What was decided while decoding."""


def prepare_item(item: Item, settings: DataConfig) -> Prepared:
    """Prepare one image as it is stored in a pack.

    Raises:
        Unreadable: it cannot be read or decoded; see `decode`.
    """
    found = item.read()
    notes: tuple[str, ...]
    if isinstance(found, bytes):
        image, notes = open_image(found, settings)
        if note := wrong_suffix(item.name, found):
            notes = (*notes, note)
    else:
        image, notes = Image.fromarray(found), ("grey",) if found.ndim == 2 else ()
    mode = "L" if settings.channels == 1 else "RGB"
    small = resize(image if image.mode == mode else image.convert(mode), settings)
    pixels = np.asarray(small).reshape(settings.shape)
    return Prepared(pixels, pixel_key(pixels), image.width, image.height, notes)


def try_prepare(item: Item, settings: DataConfig) -> Prepared | str:
    """Prepare an item, or return the reason why it cannot be."""
    try:
        return prepare_item(item, settings)
    except Unreadable as unreadable:
        return unreadable.reason


def pixel_key(pixels: NDArray[np.uint8]) -> int:
    """Return a name for pixels: the first 8 bytes of their SHA-256, big-endian, sign bit cleared."""
    digest = hashlib.sha256(np.ascontiguousarray(pixels).reshape(-1).data).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def prepare_all(
    items: Iterable[Item], settings: DataConfig, workers: int | None = None
) -> Generator[Prepared | str, None, None]:
    """Yield each image prepared, or the reason why it cannot be, in the order of the items."""
    return map_items(try_prepare, items, settings, workers)


def map_items(
    work: Callable[[Item, DataConfig], Made],
    items: Iterable[Item],
    settings: DataConfig,
    workers: int | None = None,
) -> Generator[Made, None, None]:
    """Yield what `work` makes of each image, in the order of the items.

    At most about 5 MB of finished pixels per worker wait to be consumed.

    Args:
        work: such as `try_prepare`.
        items: the images.
        settings: how they are stored.
        workers: threads; by default one per core.
    """

    def some(items: list[Item]) -> list[Made]:
        return [work(item, settings) for item in items]

    workers = workers or os.cpu_count() or 1
    with (
        decided_warnings(),
        closing(in_order(some, items, workers=workers, chunk=chunk_of(settings))) as chunks,
    ):
        for chunk in chunks:
            yield from chunk


def chunk_of(settings: DataConfig) -> int:
    """Return how many images a thread takes at once: about 1 MB of pixels, at most 64."""
    return min(max(_CHUNK_BYTES // math.prod(settings.shape), 1), 64)
