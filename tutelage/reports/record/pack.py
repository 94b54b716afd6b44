"""Read what a report shows of the data: counts, notes, quarantined files, and the stored pixels."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.config.image_size import ImageSize, height_width
from tutelage.config.schema import flatten
from tutelage.data.pack.pack import FIX, KIND
from tutelage.errors import InputError
from tutelage.reports.record.files import read_sealed_json, read_text, to_record
from tutelage.reports.record.types import DataRecord
from tutelage.reports.wording import plain
from tutelage.storage.checksums import Sums, require_checksums
from tutelage.text import unescape_csv

SPLITS = ("train", "val", "test")


class _Quarantined(NamedTuple):
    file: str = ""
    reason: str = ""


class _Manifest(TypedDict):
    """data.json."""

    count: int
    image_size: ImageSize
    classes: tuple[str, ...]
    files: Mapping[str, Mapping[str, object]]
    source: object
    settings: object
    notes: object
    quarantine: tuple[_Quarantined, ...] | None
    fingerprint: str | None


def read_data(job: Path) -> DataRecord:
    """Read data.json of a job, and from its pack whatever is still there.

    Raises:
        InputError: data.json is missing or unreadable, or an array has the wrong length.
    """
    manifest = to_record(_Manifest, read_sealed_json(job / "data.json"), job / "data.json")
    count, size, classes = manifest["count"], manifest["image_size"], manifest["classes"]
    settings = list_scalars(manifest["settings"])
    shape = (count, *height_width(size), int(settings.get("channels", "3")))
    pack, sums = job / "pack", manifest["files"]
    labels = _array(pack / "labels.bin", np.dtype("<i8"), (count,), sums)
    splits = _array(pack / "splits.bin", np.dtype("u1"), (count,), sums)
    keys = _array(pack / "keys.bin", np.dtype("<i8"), (count,), sums)
    for found, least, most in ((labels, -1, len(classes)), (splits, 0, len(SPLITS))):
        if found is not None and not ((found >= least) & (found < most)).all():
            raise InputError("a label or split of the pack is out of range", where=pack)
    return DataRecord(
        classes=classes,
        image_size=size,
        count=count,
        source=list_scalars(manifest["source"]),
        settings=settings,
        notes=list_scalars(manifest["notes"]),
        quarantine=manifest["quarantine"] or (),
        fingerprint=manifest["fingerprint"] or "",
        class_counts=None
        if labels is None or splits is None
        else count_classes(labels, splits, len(classes)),
        leaks={} if keys is None or splits is None else find_leaks(keys, splits),
        keys=keys,
        pixels=_array(pack / "images.bin", np.dtype("u1"), shape),
        files=_file_names(job / "split.csv"),
    )


def count_classes(
    labels: NDArray[np.int64], splits: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count images by class and split, int64 [C + 1, 3]; the last row is for unlabelled images."""
    rows = np.where(labels < 0, classes, labels)
    counts = np.bincount(rows * 3 + splits, minlength=3 * (classes + 1))
    return counts.reshape(-1, 3).astype(np.int64)


def find_leaks(keys: NDArray[np.int64], splits: NDArray[np.uint8]) -> dict[str, int]:
    """Count the images of the other splits that have exactly the pixels of a training image."""
    training = np.unique(keys[splits == 0])
    return {
        name: int(np.isin(keys[splits == code], training).sum())
        for code, name in enumerate(SPLITS)
        if code > 0 and (splits == code).any()
    }


def list_scalars(settings: object) -> dict[str, str]:
    """Turn nested settings into dotted names and readable text; empty for what is not a table."""
    return {
        plain(name): plain(value if isinstance(value, str) else json.dumps(value, default=str))
        for name, value in flatten(settings if isinstance(settings, Mapping) else {}).items()
    }


def _array(
    path: Path, kind: "np.dtype[Any]", shape: tuple[int, ...], sums: Sums | None = None
) -> NDArray[Any] | None:
    """Map an array of the pack into memory, its checksum verified; None if the pack was deleted."""
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
    """Read file name by id from split.csv, without the apostrophe that guards against formulas."""
    if not path.is_file():
        return {}
    names = {}
    for row in csv.DictReader(io.StringIO(read_text(path), newline="")):
        name, number = row.get("file") or "", row.get("id") or ""
        if number.isdigit():
            names[int(number)] = plain(unescape_csv(name))
    return names
