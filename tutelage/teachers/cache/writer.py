"""Create a table of teacher outputs and append to it."""

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


def create_cache(folder: Path, key: CacheKey, shapes: Shapes) -> None:
    """Create an empty table, or close an existing one that was left open.

    Raises:
        InputError: the folder holds a table with another key; the message names the field.
        MachineError: it cannot be written.
    """
    if (folder / "manifest.json").is_file():
        require_same_key(folder, key)
        if read_manifest(folder)["grows"]:  # its writer was killed
            CacheWriter(folder).close()
        return
    make_folder(folder)
    for name in ("index", *shapes):
        (folder / f"{name}.bin").write_bytes(b"")  # also replaces files without a manifest
    plain = {name: list(shape) for name, shape in shapes.items()}
    write_manifest(folder, {**key.fields(), "shapes": plain}, np.empty(0, INDEX), grows=False)


class CacheWriter:
    """Appends records to a table. One process at a time; see `cache_lock`."""

    def __init__(self, folder: Path) -> None:
        table = open_cache_table(folder)
        self._folder, self._index, count = folder, table.index, len(table)
        self._facts = read_manifest(folder)
        write_manifest(folder, self._facts, self._index, grows=True)
        self._sizes = {"index": INDEX.itemsize}
        self._sizes |= {name: 2 * math.prod(shape) for name, shape in table.shapes.items()}
        # Cut off what is behind the last complete record.
        self._files = {}
        for name, size in self._sizes.items():
            file = (folder / f"{name}.bin").open("r+b")
            file.truncate(count * size)
            file.seek(0, os.SEEK_END)
            self._files[name] = file
        self._pending: list[NDArray[Any]] = []
        self._kept = [self._index]

    def add(self, outputs: CachedOutputs) -> None:
        """Add records; they count after `keep`.

        Raises:
            InputError: outputs that float16 cannot hold; none is added then.
        """
        top = outputs.logits.max(axis=1)
        with np.errstate(invalid="ignore"):  # infinity minus infinity is rejected below
            columns = {"logits": outputs.logits - top[:, None], **outputs.features}
        halves = {}
        for name, found in columns.items():
            values = found.reshape(len(found), -1)
            whole = np.isfinite(values).all(axis=1) & (np.abs(values) <= _LARGEST).all(axis=1)
            if not whole.all():
                raise InputError(
                    f"the teacher's {name} are not finite, or beyond what float16 holds",
                    found=f"image with key {outputs.keys[~whole][0]}",
                    fix="another teacher: this one has diverged"
                    if name == "logits"
                    else "--teacher-outputs live, or another teacher: this one may have diverged",
                )
            halves[name] = values.astype(np.float16)
        index = np.empty(len(outputs.keys), INDEX)
        index["key"], index["view"], index["top"] = outputs.keys, outputs.views, top
        index["crc"] = [
            crc_of(index[row], [halves[name][row] for name in halves]) for row in range(len(index))
        ]
        for name, values in halves.items():
            self._files[name].write(values.tobytes())
        self._pending.append(index)

    def keep(self) -> None:
        """Write all added records to disk: the outputs first, then their index."""
        for name, file in self._files.items():
            if name != "index":
                _sync(file)
        for index in self._pending:
            self._files["index"].write(index.tobytes())
        _sync(self._files["index"])
        self._kept += self._pending
        self._pending = []

    def close(self) -> None:
        """Close the files, cut off what was not kept, and mark the table as closed in the manifest."""
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
