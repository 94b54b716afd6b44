"""Read, decode and resize many images, in order, on all cores, with bounded memory."""

import hashlib
import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutelage.data.decode import decided_warnings, picture
from tutelage.data.resize import square
from tutelage.data.settings import Data
from tutelage.data.signatures import misnamed
from tutelage.data.sources import Item, Unreadable

_CHUNK_BYTES = 4 << 20


class Prepared(NamedTuple):
    """One image as stored: pixels uint8 [S, S, 3], key, size before, and what was decided."""

    pixels: NDArray[np.uint8]
    key: int
    width: int
    height: int
    notes: tuple[str, ...]


def prepare(item: Item, settings: Data) -> Prepared:
    """One image as it is stored in a pack.

    Raises:
        Unreadable: it cannot be read or decoded; see `decode`.
    """
    found = item.read()
    notes: tuple[str, ...]
    if isinstance(found, bytes):
        image, notes = picture(found, settings)
        if note := misnamed(item.name, found):
            notes = (*notes, note)
    else:
        image, notes = Image.fromarray(found), ("grey",) if found.ndim == 2 else ()
    small = square(image if image.mode == "RGB" else image.convert("RGB"), settings.image_size)
    pixels = np.asarray(small)
    return Prepared(pixels, pixel_key(pixels), image.width, image.height, notes)


def pixel_key(pixels: NDArray[np.uint8]) -> int:
    """A name for pixels: the first 8 bytes of their SHA-256, big-endian, sign bit cleared."""
    digest = hashlib.sha256(pixels.tobytes()).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def prepare_all(items: Iterable[Item], settings: Data) -> Generator[Prepared | str, None, None]:
    """Each image prepared, or the reason why it cannot be, in the order of the items.

    A thread a core; at most about 12 MB of finished pixels a core wait to be taken.
    """
    workers = os.cpu_count() or 1
    size = settings.image_size
    chunk = min(max(_CHUNK_BYTES // (3 * size * size), 1), 64)
    rest = iter(items)
    waiting: deque[Future[list[Prepared | str]]] = deque()
    with decided_warnings(), ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while len(waiting) < 2 * workers and (some := list(islice(rest, chunk))):
                    waiting.append(pool.submit(_prepare_some, some, settings))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_some(items: list[Item], settings: Data) -> list[Prepared | str]:
    done: list[Prepared | str] = []
    for item in items:
        try:
            done.append(prepare(item, settings))
        except Unreadable as unreadable:
            done.append(unreadable.reason)
    return done
