"""A table of a teacher's answers while it grows: begun empty, appended to, at rest again."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError
from tutelage.storage.atomic import make_folder
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.table import (
    INDEX,
    CachedOutputs,
    Shapes,
    crc_of,
    open_cache_table,
    read_manifest,
    require_same_key,
    write_manifest,
)

_LARGEST = float(np.finfo(np.float16).max)


def create_cache(folder: Path, identity: CacheKey, shapes: Shapes) -> None:
    """Begin an empty table; where there is one of this identity, only see to it that it is at rest.

    Raises:
        InputError: the folder holds a table of another identity (the field is named).
        MachineError: it cannot be written.
    """
    if (folder / "manifest.json").is_file():
        require_same_key(folder, identity)
        if read_manifest(folder)["grows"]:  # whoever wrote has died: what it kept is all there is
            CacheWriter(folder).close()
        return
    make_folder(folder)
    for name in ("index", *shapes):
        (folder / f"{name}.bin").write_bytes(b"")  # of a table that has lost its manifest, too
    plain = {name: list(shape) for name, shape in shapes.items()}
    write_manifest(folder, {**identity.fields(), "shapes": plain}, np.empty(0, INDEX), grows=False)


class CacheWriter:
    """Appends answers to a table. One process at a time; see `shelf.locked`."""

    def __init__(self, folder: Path) -> None:
        table = open_cache_table(folder)
        self._folder, self._index, count = folder, table.index, len(table)
        self._facts = read_manifest(folder)
        write_manifest(folder, self._facts, self._index, grows=True)
        self._sizes = {"index": INDEX.itemsize}
        self._sizes |= {name: 2 * math.prod(shape) for name, shape in table.shapes.items()}
        # Whatever lies behind the last whole record was never said.
        self._files = {}
        for name, size in self._sizes.items():
            file = (folder / f"{name}.bin").open("r+b")
            file.truncate(count * size)
            file.seek(0, os.SEEK_END)
            self._files[name] = file
        self._waiting: list[NDArray[Any]] = []
        self._kept = [self._index]

    def add(self, answers: CachedOutputs) -> None:
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
                    found=f"image with key {answers.keys[~whole][0]}",
                    fix="another teacher: this one has diverged"
                    if name == "logits"
                    else "--teacher-outputs live, or another teacher: this one may have diverged",
                )
            halves[name] = values.astype(np.float16)
        index = np.empty(len(answers.keys), INDEX)
        index["key"], index["view"], index["top"] = answers.keys, answers.views, top
        index["crc"] = [
            crc_of(index[row], [halves[name][row] for name in halves]) for row in range(len(index))
        ]
        for name, values in halves.items():
            self._files[name].write(values.tobytes())
        self._waiting.append(index)

    def keep(self) -> None:
        """Make all added records durable: the answers first, then their index."""
        for name, file in self._files.items():
            if name != "index":
                _sync(file)
        for index in self._waiting:
            self._files["index"].write(index.tobytes())
        _sync(self._files["index"])
        self._kept += self._waiting
        self._waiting = []

    def close(self) -> None:
        """Close the files, cut off what was not kept, and say in the manifest that the table is at rest."""
        index = np.concatenate(self._kept)
        try:
            for name, file in self._files.items():
                file.truncate(len(index) * self._sizes[name])
                _sync(file)
        finally:
            for file in self._files.values():
                file.close()
        write_manifest(self._folder, self._facts, index, grows=False)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
