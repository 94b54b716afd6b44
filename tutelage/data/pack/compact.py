"""Close the gaps that images which cannot be used leave between the others, in place."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tutelage.data.decode.prepare import pixel_key
from tutelage.data.pack.entries import StoredEntry


def compact(images: Path, kept: Sequence[StoredEntry], slot_bytes: int, *, again: bool) -> bool:
    """Move the pixels of each kept image from its slot to its place, and cut the file to its length.

    An image only ever moves towards the start, and those before it have moved already, so none is
    written over that is still needed. One image at a time is in memory.

    Args:
        images: the file of slots.
        kept: its images in their order; the first belongs in the first place, and so on.
        slot_bytes: length of a slot.
        again: this was begun before and cut off. Keys tell which images have moved.

    Returns:
        False when an image is in neither place, which only a loss of power can bring about.
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
