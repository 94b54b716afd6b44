"""The journal of a pack in the making: one line of JSON per image.

[slot, key, width, height, [notes], [sums]] its pixels are in this slot of images.bin [slot, reason] it cannot
be used
"""

import json
from pathlib import Path
from typing import NamedTuple

from tutelage.data.pack.channel_stats import Sums


class StoredEntry(NamedTuple):
    """An image whose pixels are in the slot; the other fields as in `Prepared` and `channel_sums`."""

    slot: int
    key: int
    width: int
    height: int
    notes: tuple[str, ...]
    sums: Sums


class RefusedEntry(NamedTuple):
    """An image that cannot be used, and why."""

    slot: int
    reason: str


Entry = StoredEntry | RefusedEntry


def to_line(entry: Entry) -> bytes:
    """Return an entry as a line of JSON.

    >>> to_line(RefusedEntry(3, "empty file")).decode().strip()
    '[3,"empty file"]'
    """
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def read_entries(path: Path, slots: int) -> tuple[list[Entry], int]:
    """Read the entries of a journal and return them with the bytes they take.

    A process that was killed, or a power failure, may leave half a line: everything from the first invalid
    line on is ignored.
    """
    entries: list[Entry] = []
    length = 0
    with path.open("rb") as file:
        for line in file:
            entry = _from_line(line, slots)
            if entry is None:
                break
            entries.append(entry)
            length += len(line)
    return entries, length


def _from_line(line: bytes, slots: int) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    entry: Entry
    match found:
        case [int(slot), str(reason)]:
            entry = RefusedEntry(slot, reason)
        case [int(slot), int(key), int(width), int(height), [*notes], [*sums]] if (
            len(sums) in (2, 6)
            and all(isinstance(part, int) for part in sums)
            and all(isinstance(note, str) for note in notes)
        ):
            entry = StoredEntry(slot, key, width, height, tuple(notes), tuple(sums))
        case _:
            return None
    return entry if 0 <= slot < slots else None
