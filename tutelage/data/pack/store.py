"""Decode images into their slots, and log each once its pixels are safely on disk."""

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from tutelage.config.data import DataConfig
from tutelage.data.decode.decode import decided_warnings
from tutelage.data.decode.parallel import in_order
from tutelage.data.decode.prepare import chunk_of, try_prepare
from tutelage.data.pack.channel_stats import channel_sums
from tutelage.data.pack.entries import Entry, RefusedEntry, StoredEntry, to_line
from tutelage.data.readers.source import Item

DURABLE_BYTES = 16 << 20  # little is left to flush at the end
DURABLE_SECONDS = 2.0
_AHEAD = 16  # chunks per thread, which hold no pixels: threads continue while the disk is flushed


def store_items(
    items: Sequence[tuple[int, Item]],
    settings: DataConfig,
    images: Path,
    journal: Path,
    *,
    workers: int,
    progress: Callable[[], None],
) -> None:
    """Decode images into their slots of a file that already has its length; pixels are not kept in memory.

    Whatever ends it, an error or Ctrl-C, what was decoded is logged.

    Args:
        items: slot and image.
        settings: how they are stored.
        images: the file of slots.
        journal: the lines are appended to this file.
        workers: threads.
        progress: called after each image, in the order of the items.
    """

    def some(part: list[tuple[int, Item]]) -> list[Entry]:
        with images.open("r+b") as file:
            return [_store(file, slot, item, settings) for slot, item in part]

    with (
        decided_warnings(),
        _Journal(images, journal, math.prod(settings.shape)) as note,
        closing(
            in_order(some, items, workers=workers, chunk=chunk_of(settings), ahead=_AHEAD)
        ) as chunks,
    ):
        for entries in chunks:
            note.add(entries)
            for _ in entries:
                progress()


def _store(images: IO[bytes], slot: int, item: Item, settings: DataConfig) -> Entry:
    found = try_prepare(item, settings)
    if isinstance(found, str):
        return RefusedEntry(slot, found)
    pixels, key, width, height, notes = found
    images.seek(slot * pixels.size)
    images.write(pixels.reshape(-1).data)
    return StoredEntry(slot, key, width, height, notes, channel_sums(pixels))


class _Journal:
    """Holds entries back until their pixels are flushed to disk, then writes them down."""

    def __init__(self, images: Path, journal: Path, slot_bytes: int) -> None:
        self._most = max(1, DURABLE_BYTES // slot_bytes)
        self._waiting: list[Entry] = []
        self._last = time.monotonic()
        self._images = images.open("r+b")
        self._journal = journal.open("ab")

    def __enter__(self) -> "_Journal":
        return self

    def add(self, entries: Sequence[Entry]) -> None:
        """Add entries whose pixels have been written to the operating system."""
        self._waiting += entries
        late = time.monotonic() - self._last > DURABLE_SECONDS
        if late or len(self._waiting) >= self._most:
            self._flush()

    def _flush(self) -> None:
        os.fsync(self._images.fileno())
        self._journal.write(b"".join(map(to_line, self._waiting)))
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._waiting.clear()
        self._last = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        # The error that ended the block matters, not that the disk is full once more.
        with suppress(OSError) if kind else nullcontext(), self._images, self._journal:
            self._flush()
