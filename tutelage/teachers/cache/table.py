"""Teacher outputs on disk: an append-only table with one record for each view of each image.

manifest.json    the key (see `key.py`), shape and number of records, and checksum of the index; sealed
index.bin        per record: key int64, view int32, top float32, crc uint32 (of these three and the outputs)
logits.bin       float16 [R, C], minus the record's largest logit, which is `top`
POINT.bin        float16 [R, D], flattened features of a point, if needed

The files of a closed table have the lengths given in its manifest. While a table grows, its manifest is
marked and a record counts once it is in the index, which is written last; the next writer cuts off what a
killed process left behind it. The crc of a record is checked when a process first reads it.

The largest logit is stored apart so that float16 is finest where the probabilities are largest (a
divergence of 1e-7 instead of 1e-6 nats).
"""

import hashlib
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError
from tutelage.storage.checksums import read_sealed, write_sealed
from tutelage.storage.json_files import read_file
from tutelage.storage.safe_paths import is_plain_name, require_plain
from tutelage.teachers.cache.key import FORMAT, CacheKey

INDEX = np.dtype([("key", "<i8"), ("view", "<i4"), ("top", "<f4"), ("crc", "<u4")])
"""A line of the index."""

LARGEST_RECORD = 1 << 28
"""Most values in one record at one point."""

KIND = "a cache of a teacher's answers"
_LARGEST_INDEX = 16 << 30


class CachedOutputs(NamedTuple):
    """R records of teacher outputs."""

    keys: NDArray[np.int64]
    """Hashes of the images' pixels, [R]."""

    views: NDArray[np.int32]
    """View numbers, [R]."""

    logits: NDArray[np.float32]
    """Logits [R, C]."""

    features: Mapping[str, NDArray[np.float32]] = {}
    """Features [R, ...] by point."""


Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of one record: `logits` (C,), and each point (D,), (N, C) or (C, H, W)."""

Columns = Mapping[str, NDArray[np.float16]]
"""Values [R, D] of the logits and of each point."""


class CacheTable:
    """An opened table: the index in memory, the outputs memory-mapped."""

    def __init__(self, folder: Path, shapes: Shapes, index: NDArray[Any], columns: Columns) -> None:
        self.folder = folder
        self.shapes = dict(shapes)
        self.index = index
        self.columns = columns
        self._seen = np.zeros(len(index), bool)

    def __len__(self) -> int:
        return len(self.index)

    def positions(self, keys: NDArray[np.int64], view: int) -> NDArray[np.int64]:
        """Return the positions of some images' records for a view, int64 [N]; -1 if missing."""
        of_view = np.flatnonzero(self.index["view"] == view)
        if not len(of_view):
            return np.full(len(keys), -1, np.int64)
        held = self.index["key"][of_view]
        order = np.argsort(held, kind="stable")
        place = np.searchsorted(held, keys, sorter=order).clip(max=len(held) - 1)
        found = of_view[order[place]]
        return np.where(self.index["key"][found] == keys, found, -1)

    def logits(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read logits, float32 [N, C]; raises InputError if a record is damaged."""
        self._require_whole(positions)
        top = self.index["top"][positions][:, None]
        logits: NDArray[np.float32] = self.columns["logits"][positions].astype(np.float32) + top
        return np.asarray(logits)

    def features(self, point: str, positions: NDArray[np.int64]) -> NDArray[np.float16]:
        """Read the features of a point, float16 [N, ...]; raises InputError if a record is damaged."""
        self._require_whole(positions)
        found = np.asarray(self.columns[point][positions])
        return found.reshape(len(positions), *self.shapes[point])

    def damaged(self) -> NDArray[np.int64]:
        """Read the whole table and return the positions of damaged records."""
        return np.asarray([row for row in range(len(self)) if not self._is_whole(row)], np.int64)

    def cut(self, first: int) -> "CacheTable":
        """Return the table up to the first damaged record at or after `first`."""
        end = next((row for row in range(first, len(self)) if not self._is_whole(row)), len(self))
        columns = {name: column[:end] for name, column in self.columns.items()}
        return CacheTable(self.folder, self.shapes, self.index[:end], columns)

    def _require_whole(self, positions: NDArray[np.int64]) -> None:
        for name, column in self.columns.items():
            # As in a pack: reading a map beyond the end of its file kills the process.
            path = self.folder / f"{name}.bin"
            _require_length(path, path.stat().st_size, column.nbytes, grows=True)
        for row in np.unique(positions[~self._seen[positions]]).tolist():
            if not self._is_whole(row):
                raise _damaged(self.folder, f"answer {row} is not the one that was written")
        self._seen[positions] = True

    def _is_whole(self, row: int) -> bool:
        values = [column[row] for column in self.columns.values()]
        return bool(crc_of(self.index[row], values) == self.index["crc"][row])


def write_manifest(
    folder: Path, facts: Mapping[str, Any], index: NDArray[Any], *, grows: bool
) -> None:
    """Write the manifest; `grows` marks a table that is being written.

    Raises:
        MachineError: it cannot be written.
    """
    state = {"grows": grows, "answers": len(index), "index": _sha256(index)}
    write_sealed(folder / "manifest.json", {**facts, **state})


def _sha256(index: NDArray[Any]) -> str:
    return hashlib.sha256(index.tobytes()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a table.

    Raises:
        InputError: it is missing, damaged or of another format.
    """
    path = folder / "manifest.json"
    found = read_sealed(path, kind=KIND, version=FORMAT, fix=_fix(folder))
    shapes = found.get("shapes")
    if (
        not isinstance(shapes, dict)
        or not all(map(is_plain_name, shapes))
        or not all(map(_is_shape, shapes.values()))
    ):
        raise _damaged(path, "no shapes")
    kinds = {
        "grows": bool,
        "index": str,
        "answers": int,
        "model": str,
        "classes": list,
        "precision": str,
    }
    if odd := next((key for key, kind in kinds.items() if type(found.get(key)) is not kind), None):
        raise _damaged(path, f"{odd} is no {kinds[odd].__name__}")
    if found["answers"] < 0:
        raise _damaged(path, f"{found['answers']} answers")
    return found


def open_cache_table(folder: Path) -> CacheTable:
    """Open a table for reading, after checking the lengths of all files.

    Raises:
        InputError: it is missing or damaged.
    """
    require_plain(folder)
    facts = read_manifest(folder)
    count, grows = facts["answers"], facts["grows"]
    shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
    raw = read_file(folder / "index.bin", largest=_LARGEST_INDEX)
    there = len(raw) // INDEX.itemsize
    _require_length(folder / "index.bin", len(raw), count * INDEX.itemsize, grows=grows)
    for name, shape in shapes.items():
        path, width = folder / f"{name}.bin", 2 * math.prod(shape)
        length = path.stat().st_size if path.is_file() else 0
        _require_length(path, length, count * width, grows=grows)
        there = min(there, length // width)
    index = np.frombuffer(raw[: there * INDEX.itemsize], INDEX)
    if _sha256(index[:count]) != facts["index"]:
        raise _damaged(folder / "index.bin", "its records are not those that were written")
    columns = {
        name: _mapped(folder / f"{name}.bin", there, math.prod(shape))
        for name, shape in shapes.items()
    }
    return CacheTable(folder, shapes, index, columns).cut(count)


def _require_length(path: Path, found: int, expected: int, *, grows: bool) -> None:
    if found < expected or (found > expected and not grows):
        how = "cut short" if found < expected else "longer than it was"
        raise InputError(
            f"the teacher's cache is {how}",
            where=path,
            found=f"{found:,} bytes",
            expected=f"{'at least ' if grows else ''}{expected:,}",
            fix=_fix(path.parent),
        )


def _is_shape(found: Any) -> bool:
    return (
        isinstance(found, list)
        and bool(found)
        and all(type(size) is int and size > 0 for size in found)
        and math.prod(found) <= LARGEST_RECORD
    )


def require_same_key(folder: Path, key: CacheKey) -> None:
    """Raise InputError, naming the first field that differs, if a table has another key."""
    found = read_manifest(folder)
    for field, value in key.fields().items():
        if found.get(field) != value:
            raise InputError(
                f"the teacher's cache belongs to another {field}",
                where=folder,
                found=found.get(field),
                expected=value,
                fix=_fix(folder),
            )


def _fix(folder: Path) -> str:
    return f"tutelage cache remove {folder.name} --folder {folder.parent}; it is made again"


def _damaged(where: Path, found: str) -> InputError:
    folder = where if where.is_dir() else where.parent
    return InputError("the teacher's cache is damaged", where=where, found=found, fix=_fix(folder))


def crc_of(record: Any, values: list[NDArray[np.float16]]) -> int:
    """Return the checksum of a record: its line in the index and its values [D] in each column, in order."""
    parts = [record[name] for name in ("key", "view", "top")] + values
    return zlib.crc32(b"".join(part.tobytes() for part in parts))


def _mapped(path: Path, rows: int, width: int) -> NDArray[np.float16]:
    if rows == 0:
        return np.empty((0, width), np.float16)
    return np.memmap(path, np.float16, "r", shape=(rows, width))
