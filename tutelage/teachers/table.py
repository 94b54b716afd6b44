"""A teacher's answers on disk: a table that only grows, one record for each view of each picture.

manifest.json    what the answers are of (see `identity.py`), and the shape of a record
index.bin        a record: key int64, view int32, top float32, crc uint32
logits.bin       float16 [R, C], less the record's largest logit, which is `top`
POINT.bin        float16 [R, D], features of a point, laid out one after the other, where asked for

A record counts once it is in the index, which is written last: what a killed process leaves behind it is
cut off by the next one that writes. The largest logit is kept apart because what is left then has the
finest steps where the probabilities are largest (a divergence of 1e-7 instead of 1e-6 nats).
"""

import json
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError
from tutelage.files import read_json, write_bytes
from tutelage.inside import is_plain_name, require_plain
from tutelage.teachers.identity import Identity

INDEX = np.dtype([("key", "<i8"), ("view", "<i4"), ("top", "<f4"), ("crc", "<u4")])
LARGEST_RECORD = 1 << 28
"""Numbers of one picture's answer at one point."""
_LARGEST = float(np.finfo(np.float16).max)


class Answers(NamedTuple):
    """What a teacher said: keys int64 [R], views int32 [R], logits float32 [R, C], features [R, ...]
    by point.
    """

    keys: NDArray[np.int64]
    views: NDArray[np.int32]
    logits: NDArray[np.float32]
    features: Mapping[str, NDArray[np.float32]] = {}


Shapes = Mapping[str, tuple[int, ...]]
"""Of one picture's answer: `logits` (C,), and each point (D,), (N, C) or (C, H, W)."""


class Table:
    """An opened table: the index in memory, the answers memory-mapped."""

    def __init__(self, folder: Path, shapes: Shapes) -> None:
        self.folder = folder
        self.shapes = dict(shapes)
        self.index = _index(folder)
        self.columns = {
            name: _mapped(folder / f"{name}.bin", len(self.index), math.prod(shape))
            for name, shape in shapes.items()
        }

    def __len__(self) -> int:
        return len(self.index)

    def positions(self, keys: NDArray[np.int64], view: int) -> NDArray[np.int64]:
        """Where the answers about a view of some pictures stand; -1 where there are none. int64 [N]."""
        of_view = np.flatnonzero(self.index["view"] == view)
        if not len(of_view):
            return np.full(len(keys), -1, np.int64)
        held = self.index["key"][of_view]
        order = np.argsort(held, kind="stable")
        place = np.searchsorted(held, keys, sorter=order).clip(max=len(held) - 1)
        found = of_view[order[place]]
        return np.where(self.index["key"][found] == keys, found, -1)

    def logits(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [N, C] at some positions."""
        top = self.index["top"][positions][:, None]
        logits: NDArray[np.float32] = self.columns["logits"][positions].astype(np.float32) + top
        return np.asarray(logits)

    def features(self, point: str, positions: NDArray[np.int64]) -> NDArray[np.float16]:
        """float16 [N, ...] of a point at some positions."""
        found = np.asarray(self.columns[point][positions])
        return found.reshape(len(positions), *self.shapes[point])

    def damaged(self) -> NDArray[np.int64]:
        """Positions whose bytes are no longer those that were written; reads the whole table."""
        return np.asarray(
            [row for row in range(len(self)) if self._crc(row) != self.index["crc"][row]], np.int64
        )

    def _crc(self, row: int) -> int:
        return zlib.crc32(b"".join(column[row].tobytes() for column in self.columns.values()))


def create(folder: Path, identity: Identity, shapes: Shapes) -> None:
    """Begin an empty table; nothing where there is one of this identity already.

    Raises:
        InputError: the folder holds a table of another identity (the field is named).
        MachineError: it cannot be written.
    """
    if (folder / "manifest.json").is_file():
        require_same(folder, identity)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("index", *shapes):
        (folder / f"{name}.bin").touch()
    facts = {**identity.fields(), "shapes": {name: list(shape) for name, shape in shapes.items()}}
    write_bytes(folder / "manifest.json", (json.dumps(facts, indent=1) + "\n").encode())


def open_table(folder: Path) -> Table:
    """Open a table for reading.

    Raises:
        InputError: none there, or it is damaged.
    """
    require_plain(folder)
    shapes = read_json(folder / "manifest.json").get("shapes")
    if (
        not isinstance(shapes, dict)
        or not all(map(is_plain_name, shapes))
        or not all(map(_is_shape, shapes.values()))
    ):
        raise InputError("the teacher's cache is damaged", where=folder / "manifest.json")
    return Table(folder, {name: tuple(shape) for name, shape in shapes.items()})


def _is_shape(found: Any) -> bool:
    return (
        isinstance(found, list)
        and bool(found)
        and all(type(size) is int and size > 0 for size in found)
        and math.prod(found) <= LARGEST_RECORD
    )


def require_same(folder: Path, identity: Identity) -> None:
    """Refuse a table of anything else.

    Raises:
        InputError: naming the first field that differs.
    """
    found = read_json(folder / "manifest.json")
    for field, value in identity.fields().items():
        if found.get(field) != value:
            raise InputError(
                f"the teacher's cache belongs to another {field}",
                where=folder,
                found=found.get(field),
                expected=value,
                fix=f"tutelage cache remove {folder.name} --folder {folder.parent}; it is made again",
            )


class Writer:
    """Appends answers to a table. One process at a time; see `shelf.locked`."""

    def __init__(self, folder: Path, shapes: Shapes) -> None:
        count = len(_index(folder))
        sizes = {"index": INDEX.itemsize}
        sizes |= {name: 2 * math.prod(shape) for name, shape in shapes.items()}
        # Whatever lies behind the last whole record was never said.
        self._files = {}
        for name, size in sizes.items():
            file = (folder / f"{name}.bin").open("r+b")
            file.truncate(count * size)
            file.seek(0, os.SEEK_END)
            self._files[name] = file
        self._waiting: list[bytes] = []

    def add(self, answers: Answers) -> None:
        """Add records; they count after `keep`.

        Raises:
            InputError: answers that float16 cannot hold; none of them is then added.
        """
        top = answers.logits.max(axis=1)
        with np.errstate(invalid="ignore"):  # infinite less infinite is refused right below
            columns = {"logits": answers.logits - top[:, None], **answers.features}
        halves = {}
        for name, found in columns.items():
            values = found.reshape(len(found), -1)
            whole = np.isfinite(values).all(axis=1) & (np.abs(values) <= _LARGEST).all(axis=1)
            if not whole.all():
                raise InputError(
                    f"the teacher's {name} are not finite, or beyond what float16 holds",
                    found=f"picture with key {answers.keys[~whole][0]}",
                    fix="another teacher: this one has diverged"
                    if name == "logits"
                    else "--ask live, or another teacher: this one may have diverged",
                )
            halves[name] = values.astype(np.float16)
        index = np.empty(len(answers.keys), INDEX)
        index["key"], index["view"], index["top"] = answers.keys, answers.views, top
        index["crc"] = [
            zlib.crc32(b"".join(halves[name][row].tobytes() for name in halves))
            for row in range(len(index))
        ]
        for name, values in halves.items():
            self._files[name].write(values.tobytes())
        self._waiting.append(index.tobytes())

    def keep(self) -> None:
        """Make all added records durable: the answers first, then their index."""
        for name, file in self._files.items():
            if name != "index":
                _sync(file)
        self._files["index"].write(b"".join(self._waiting))
        self._waiting.clear()
        _sync(self._files["index"])

    def close(self) -> None:
        """Close the files; what was not kept does not count."""
        for file in self._files.values():
            file.close()


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _index(folder: Path) -> NDArray[Any]:
    path = folder / "index.bin"
    count = path.stat().st_size // INDEX.itemsize if path.is_file() else 0
    return np.fromfile(path, INDEX, count) if count else np.empty(0, INDEX)


def _mapped(path: Path, rows: int, width: int) -> NDArray[np.float16]:
    if rows == 0:
        return np.empty((0, width), np.float16)
    length = path.stat().st_size if path.is_file() else 0
    if length < 2 * rows * width:
        raise InputError(
            "the teacher's cache is cut short",
            where=path,
            found=f"{length} bytes",
            expected=f"at least {2 * rows * width}",
            fix=f"tutelage cache remove {path.parent.name} --folder {path.parent.parent}",
        )
    return np.memmap(path, np.float16, "r", shape=(rows, width))
