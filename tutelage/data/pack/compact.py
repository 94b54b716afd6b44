"""Close the gaps that unusable images leave between the others, in place."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tutelage.data.decode.prepare import pixel_key
from tutelage.data.pack.entries import StoredEntry


def compact(images: Path, kept: Sequence[StoredEntry], slot_bytes: int, *, again: bool) -> bool:
    """Move the pixels of each kept image from its slot to its place, and truncate the file.

    An image only ever moves towards the start, after those before it, so nothing that is still needed is
    overwritten. One image at a time is in memory.

    Args:
        images: the file of slots.
        kept: its images in their order; the first belongs in the first place, and so on.
        slot_bytes: length of a slot.
        again: an earlier attempt was cut off. Keys show which images have moved.

    Returns:
        False when an image is in neither place, which only a power failure can cause.
    """
    with images.open("r+b") as file:

        def pixels(place: int) -> bytes:
            file.seek(place * slot_bytes)
            return file.read(slot_bytes)

        for place, one in enumerate(kept):
            if place == one.slot or (again and _is(one, pixels(place))):
                continue
            found = pixels(one.slot)
            if again and not _is(one, found):
                return False
            file.seek(place * slot_bytes)
            file.write(found)
        file.truncate(len(kept) * slot_bytes)
        file.flush()
        os.fsync(file.fileno())
    return True


def _is(one: StoredEntry, pixels: bytes) -> bool:
    return pixel_key(np.frombuffer(pixels, np.uint8)) == one.key
