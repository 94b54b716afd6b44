"""What the report shows of the pack: counts, notes, quarantine, and the pixels for images."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.data.pack.pack import FIX, KIND, SMALL
from tutelage.errors import InputError
from tutelage.reports.record.fields import Fields, read_sealed_json, read_text
from tutelage.reports.record.types import DataRecord
from tutelage.reports.wording import plain
from tutelage.storage.checksums import Sums, require_checksums
from tutelage.text import unescape_csv

SPLITS = ("train", "val", "test")


def read_data(job: Path) -> DataRecord:
    """The data part of a job folder: data.json, and from pack/ whatever of it is still there.

    Raises:
        InputError: data.json is missing or unreadable, or an array has another length than it says.
    """
    manifest = read_sealed_json(job / "data.json")
    count, size = manifest.integer("count"), manifest.integer("image_size")
    classes = len(manifest.items("classes"))
    pack = job / "pack"
    sums = {name: manifest.table("files").table(name).plain for name in SMALL}
    labels = _array(pack / "labels.bin", np.dtype("<i8"), (count,), sums)
    splits = _array(pack / "splits.bin", np.dtype("u1"), (count,), sums)
    keys = _array(pack / "keys.bin", np.dtype("<i8"), (count,), sums)
    for found, least, most in ((labels, -1, classes), (splits, 0, len(SPLITS))):
        if found is not None and not ((found >= least) & (found < most)).all():
            raise InputError("a label or split of the pack is out of range", where=pack)
    return DataRecord(
        image_size=size,
        count=count,
        source=list_scalars(manifest.plain.get("source")),
        settings=list_scalars(manifest.plain.get("settings")),
        notes=list_scalars(manifest.plain.get("notes")),
        quarantine=tuple(_quarantine(manifest)),
        fingerprint=plain(manifest.text("fingerprint", "")),
        class_counts=None
        if labels is None or splits is None
        else count_classes(labels, splits, classes),
        leaks={} if keys is None or splits is None else find_leaks(keys, splits),
        keys=keys,
        pixels=_array(pack / "images.bin", np.dtype("u1"), (count, size, size, 3)),
        files=_file_names(job / "split.csv"),
    )


def count_classes(
    labels: NDArray[np.int64], splits: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Images by class and split, int64 [C + 1, 3]; the last row counts the unlabelled."""
    rows = np.where(labels < 0, classes, labels)
    counts = np.bincount(rows * 3 + splits, minlength=3 * (classes + 1))
    return counts.reshape(-1, 3).astype(np.int64)


def find_leaks(keys: NDArray[np.int64], splits: NDArray[np.uint8]) -> dict[str, int]:
    """How many images of each other split have exactly the pixels of a training image."""
    training = np.unique(keys[splits == 0])
    return {
        name: int(np.isin(keys[splits == code], training).sum())
        for code, name in enumerate(SPLITS)
        if code > 0 and (splits == code).any()
    }


def list_scalars(value: object, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and readable text; nothing for what is not a table."""
    result: dict[str, str] = {}
    if not isinstance(value, Mapping):
        return result
    for key, item in value.items():
        name = plain(f"{prefix}{key}")
        if isinstance(item, Mapping):
            result.update(list_scalars(item, f"{name}."))
        else:
            result[name] = plain(item if isinstance(item, str) else json.dumps(item, default=str))
    return result


def _quarantine(manifest: Fields) -> list[tuple[str, str]]:
    if not isinstance(manifest.plain.get("quarantine"), list):
        return []
    return [
        (plain(row.text("file", "")), plain(row.text("reason", "")))
        for row in manifest.tables("quarantine")
    ]


def _array(
    path: Path, kind: "np.dtype[Any]", shape: tuple[int, ...], sums: Sums | None = None
) -> NDArray[Any] | None:
    """A flat file mapped into memory and held to its checksum, or None when the pack has been deleted."""
    if not path.is_file():
        return None
    expected, found = int(np.prod(shape)) * kind.itemsize, path.stat().st_size
    if found != expected:
        raise InputError(
            f"{path.name} has the wrong length",
            where=path,
            found=f"{found} bytes",
            expected=f"{expected} bytes, as data.json says",
        )
    if sums is not None:
        require_checksums(path.parent, sums, [path.name], kind=KIND, fix=FIX)
    return np.memmap(path, dtype=kind, mode="r", shape=shape)


def _file_names(path: Path) -> dict[int, str]:
    """File name by id from split.csv; the apostrophe that guards against formulas is taken off."""
    if not path.is_file():
        return {}
    names = {}
    for row in csv.DictReader(io.StringIO(read_text(path), newline="")):
        name, number = row.get("file") or "", row.get("id") or ""
        if number.isdigit():
            names[int(number)] = plain(unescape_csv(name))
    return names
