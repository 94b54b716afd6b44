"""A teacher's answers on disk: a table that only grows, one record for each view of each image.

manifest.json    what the answers are of (see `identity.py`), the shape of a record, how many there are, and
                 the checksum of the index; sealed
index.bin        a record: key int64, view int32, top float32, crc uint32 (of these three and the answer)
logits.bin       float16 [R, C], less the record's largest logit, which is `top`
POINT.bin        float16 [R, D], features of a point, laid out one after the other, where asked for

A table at rest is as long as its manifest says. While it grows the manifest says so, and a record counts
once it is in the index, which is written last: what a killed process leaves behind it is cut off by the
next one that writes. A record is held to its crc when a process reads it for the first time.

The largest logit is kept apart because what is left then has the finest steps where the probabilities are
largest (a divergence of 1e-7 instead of 1e-6 nats).
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
LARGEST_RECORD = 1 << 28
"""Numbers of one image's answer at one point."""
KIND = "a cache of a teacher's answers"
_LARGEST_INDEX = 16 << 30


class CachedOutputs(NamedTuple):
    """What a teacher said: keys int64 [R], views int32 [R], logits float32 [R, C], features [R, ...]
    by point.
    """

    keys: NDArray[np.int64]
    views: NDArray[np.int32]
    logits: NDArray[np.float32]
    features: Mapping[str, NDArray[np.float32]] = {}


Shapes = Mapping[str, tuple[int, ...]]
"""Of one image's answer: `logits` (C,), and each point (D,), (N, C) or (C, H, W)."""

Columns = Mapping[str, NDArray[np.float16]]
"""[R, D] of each, one record after the other."""


class CacheTable:
    """An opened table: the index in memory, the answers memory-mapped."""

    def __init__(self, folder: Path, shapes: Shapes, index: NDArray[Any], columns: Columns) -> None:
        self.folder = folder
        self.shapes = dict(shapes)
        self.index = index
        self.columns = columns
        self._seen = np.zeros(len(index), bool)

    def __len__(self) -> int:
        return len(self.index)

    def positions(self, keys: NDArray[np.int64], view: int) -> NDArray[np.int64]:
        """Where the answers about a view of some images stand; -1 where there are none. int64 [N]."""
        of_view = np.flatnonzero(self.index["view"] == view)
        if not len(of_view):
            return np.full(len(keys), -1, np.int64)
        held = self.index["key"][of_view]
        order = np.argsort(held, kind="stable")
        place = np.searchsorted(held, keys, sorter=order).clip(max=len(held) - 1)
        found = of_view[order[place]]
        return np.where(self.index["key"][found] == keys, found, -1)

    def logits(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [N, C] at some positions; InputError where one is damaged."""
        self._require_whole(positions)
        top = self.index["top"][positions][:, None]
        logits: NDArray[np.float32] = self.columns["logits"][positions].astype(np.float32) + top
        return np.asarray(logits)

    def features(self, point: str, positions: NDArray[np.int64]) -> NDArray[np.float16]:
        """float16 [N, ...] of a point at some positions; InputError where one is damaged."""
        self._require_whole(positions)
        found = np.asarray(self.columns[point][positions])
        return found.reshape(len(positions), *self.shapes[point])

    def damaged(self) -> NDArray[np.int64]:
        """Positions whose bytes are no longer those that were written; reads the whole table."""
        return np.asarray([row for row in range(len(self)) if not self._is_whole(row)], np.int64)

    def cut(self, first: int) -> "CacheTable":
        """The table up to the first record from `first` on that is not whole."""
        end = next((row for row in range(first, len(self)) if not self._is_whole(row)), len(self))
        columns = {name: column[:end] for name, column in self.columns.items()}
        return CacheTable(self.folder, self.shapes, self.index[:end], columns)

    def _require_whole(self, positions: NDArray[np.int64]) -> None:
        for name, column in self.columns.items():
            # As in a pack: a map beyond the end of its file ends the process.
            path = self.folder / f"{name}.bin"
            _require_length(path, path.stat().st_size, column.nbytes, grows=True)
        for row in np.unique(positions[~self._seen[positions]]).tolist():
            if not self._is_whole(row):
                raise _damaged(self.folder, f"answer {row} is not the one that was written")
        self._seen[positions] = True

    def _is_whole(self, row: int) -> bool:
        answer = [column[row] for column in self.columns.values()]
        return bool(crc_of(self.index[row], answer) == self.index["crc"][row])


def write_manifest(
    folder: Path, facts: Mapping[str, Any], index: NDArray[Any], *, grows: bool
) -> None:
    """Say in the manifest how many records there are, and whether more are being written.

    Raises:
        MachineError: it cannot be written.
    """
    state = {"grows": grows, "answers": len(index), "index": _sha256(index)}
    write_sealed(folder / "manifest.json", {**facts, **state})


def _sha256(index: NDArray[Any]) -> str:
    return hashlib.sha256(index.tobytes()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a table is of, its shapes, and how many records it has.

    Raises:
        InputError: none there, or it is damaged or of another format.
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
    """Open a table for reading. Answers are mapped when the lengths of all files have been checked.

    Raises:
        InputError: none there, or it is damaged.
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


def require_same_key(folder: Path, identity: CacheKey) -> None:
    """Refuse a table of anything else.

    Raises:
        InputError: naming the first field that differs.
    """
    found = read_manifest(folder)
    for field, value in identity.fields().items():
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


def crc_of(record: Any, answer: list[NDArray[np.float16]]) -> int:
    """The checksum of one record: of its line in the index, and of the answer [D] of each column in order."""
    parts = [record[name] for name in ("key", "view", "top")] + answer
    return zlib.crc32(b"".join(part.tobytes() for part in parts))


def _mapped(path: Path, rows: int, width: int) -> NDArray[np.float16]:
    if rows == 0:
        return np.empty((0, width), np.float16)
    return np.memmap(path, np.float16, "r", shape=(rows, width))
