"""A pack: images decoded once and stored as flat arrays that can be memory-mapped.

manifest.json contents, source, settings, checksums; sealed, written last images.bin uint8 [N, H, W, C]
labels.bin int64 [N], -1 = unlabelled keys.bin int64 [N], a name for the pixels of each image (see
`decode.prepare.pixel_key`) splits.bin uint8 [N], 0 train, 1 val, 2 test images.csv id, split, class, file,
width, height, notes quarantine.csv file, reason: what could not be used

The manifest vouches for the small files, and the keys among them for the pixels: each image is checked
against its key when a process reads it for the first time.
"""

import csv
import hashlib
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.config.data import DataConfig, preparation, prepared_as
from tutelage.config.image_size import ImageSize, image_size
from tutelage.config.schema import fingerprint, to_table
from tutelage.data.decode.prepare import pixel_key
from tutelage.data.pack.manifest import class_names, pixels_shape, require_numbers
from tutelage.data.readers.source import SPLITS, Split
from tutelage.errors import InputError
from tutelage.storage.checksums import read_checked, read_sealed, require_checksums
from tutelage.storage.safe_paths import require_plain
from tutelage.text import unescape_csv

FORMAT = 2
KIND = "a pack"
FIX = "delete its folder and pack the data again"
SMALL = ("images.csv", "keys.bin", "labels.bin", "quarantine.csv", "splits.bin")
"""Every file but the pixels and the manifest."""

_PIXELS = 1
"""Incremented when equal settings come to mean other pixels; the format of the folder is counted apart."""

_LARGEST_TABLE = 1 << 30
_MANY_BYTES = 16 << 20
_ARRAYS = {"labels.bin": np.int64, "keys.bin": np.int64, "splits.bin": np.uint8}


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """An opened pack. Row i of every array is image i, its id; pixels are mapped, not loaded."""

    folder: Path
    manifest: dict[str, Any]
    images: NDArray[np.uint8]
    """[N, H, W, C], RGB or grey."""
    labels: NDArray[np.int64]
    """[N], index into `classes`; -1 = unlabelled."""
    keys: NDArray[np.int64]
    """[N], equal for equal pixels."""
    splits: NDArray[np.uint8]
    """[N], index into ("train", "val", "test")."""
    seen: NDArray[np.bool_] = field(init=False)
    """[N], whether this process has read the pixels and found them intact."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", np.zeros(len(self.labels), bool))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""
        return tuple(self.manifest["classes"])

    @property
    def image_size(self) -> ImageSize:
        """Side of the stored squares in pixels, or height and width."""
        return image_size(self.manifest["image_size"])

    @property
    def preparation(self) -> dict[str, Any]:
        """How its images became pixels, beside size and background; empty by default."""
        return preparation(self.manifest["settings"])

    @property
    def prepared(self) -> DataConfig:
        """The settings by which its images became pixels, all others being defaults."""
        background = self.manifest["settings"].get("background", "white")
        return prepared_as(self.image_size, background, self.preparation)

    @property
    def fingerprint(self) -> str:
        """A name for pixels, labels, splits and classes together."""
        return str(self.manifest["fingerprint"])

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training images, of pixels / 255."""
        return tuple(self.manifest["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training images, of pixels / 255."""
        return tuple(self.manifest["std"])

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Return the ids of a split, ascending."""
        return np.flatnonzero(self.splits == SPLITS.index(split)).astype(np.int64)

    def files(self) -> list[str]:
        """Return the file each image came from, by id; bytes that are not text are escaped."""
        return [unescape_csv(row["file"]) for row in self._table("images.csv", {"file"})]

    def sizes(self) -> list[tuple[int, int]]:
        """Return width and height of each file's image in pixels, by id."""
        rows = self._table("images.csv", {"width", "height"})
        return [(int(row["width"]), int(row["height"])) for row in rows]

    def quarantine(self) -> list[tuple[str, str]]:
        """Return (file, reason) of what could not be used."""
        rows = self._table("quarantine.csv", {"file", "reason"})
        return [(unescape_csv(row["file"]), unescape_csv(row["reason"])) for row in rows]

    def damaged(self) -> list[int]:
        """Return the ids whose stored pixels are not those that were written; reads the whole pack."""
        return damaged_rows(self.images, self.keys)

    def gather(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Read the pixels of some rows; each is checked against its key the first time.

        Args:
            rows: int64 [b], all of them valid.
            out: uint8 [b, H, W, C], filled.

        Raises:
            InputError: an image is not the one that was packed, or the file was truncated since it was
                opened.
        """
        # A file that is truncated between this check and the read would still end the process.
        _require_length(self.folder / "images.bin", self.images.nbytes)
        # Rows are valid, and "clip" lets numpy write without a temporary buffer.
        np.take(self.images, rows, axis=0, out=out, mode="clip")
        self._require_whole(rows, out)

    def _require_whole(self, rows: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        new = np.flatnonzero(~self.seen[rows]).tolist()
        if pixels.nbytes < _MANY_BYTES:
            found = [pixel_key(pixels[place]) for place in new]
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                found = list(pool.map(lambda place: pixel_key(pixels[place]), new))
        for row, key in zip(rows[new].tolist(), found, strict=True):
            if key != self.keys[row]:
                where = self.folder / "images.bin"
                raise _damaged(where, f"image {row} is not the image that was packed")
        self.seen[rows] = True

    def _table(self, name: str, columns: set[str]) -> list[dict[str, str]]:
        path = self.folder / name
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise _damaged(path, error) from error
        if any(row.get(column) is None for row in rows for column in columns):
            raise _damaged(path, "a row without a cell", ", ".join(sorted(columns)))
        return rows


def damaged_rows(images: NDArray[np.uint8], keys: NDArray[np.int64]) -> list[int]:
    """Return the rows of pixels [N, H, W, C] that do not match their keys [N]."""
    return [row for row, key in enumerate(keys.tolist()) if pixel_key(images[row]) != key]


def pack_fingerprint(
    settings: DataConfig,
    classes: tuple[str, ...],
    keys: NDArray[np.int64],
    labels: NDArray[np.int64],
    splits: NDArray[np.uint8],
) -> str:
    """Return the name of a pack: a hash of what shapes its pixels, its classes, and its arrays."""
    return _fingerprint(settings.image_size, to_table(settings), classes, keys, labels, splits)


def _fingerprint(
    size: ImageSize,
    settings: Mapping[str, Any],
    classes: tuple[str, ...],
    *arrays: NDArray[np.generic],
) -> str:
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    made = {"format": _PIXELS, "size": size, "background": settings["background"]}
    return fingerprint(made | preparation(settings), classes, digest)


def open_pack(folder: str | Path) -> Pack:
    """Open a finished pack; the pixels are mapped after their length has been checked.

    Raises:
        InputError: no pack, unfinished, of another format, truncated, or changed since it was written.
    """
    folder = Path(folder)
    require_plain(folder)
    manifest = _read_manifest(folder)
    try:
        shape, size = pixels_shape(manifest), image_size(manifest["image_size"])
        classes = class_names(manifest["classes"])
        settings = dict(manifest["settings"])
        name, sums = str(manifest["fingerprint"]), dict(manifest["files"])
        require_numbers(manifest)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(folder / "manifest.json", f"{type(error).__name__}: {error}") from error
    require_checksums(folder, sums, ("images.csv", "quarantine.csv"), kind=KIND, fix=FIX)
    labels, keys, splits = (_array(folder, sums, file, shape[0]) for file in _ARRAYS)
    if name != _fingerprint(size, settings, classes, keys, labels, splits):
        raise _damaged(folder, "labels, keys or splits of another pack", f"fingerprint {name}")
    if labels.min() < -1 or labels.max() >= len(classes) or splits.max() >= len(SPLITS):
        raise _damaged(folder, "a label or split out of range")
    return Pack(folder, manifest, map_pixels(folder, shape), labels, keys, splits)


def _array(folder: Path, sums: Mapping[str, Any], file: str, count: int) -> NDArray[Any]:
    raw = read_checked(folder, sums, file, kind=KIND, largest=_LARGEST_TABLE, fix=FIX)
    kind = np.dtype(_ARRAYS[file])
    if count < 1 or len(raw) != count * kind.itemsize:
        raise _damaged(folder / file, f"{len(raw)} bytes", f"{count} values")
    return np.frombuffer(raw, kind)


def map_pixels(folder: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Map the file of pixels, uint8 of this shape.

    Raises:
        InputError: it has another length.
    """
    path = folder / "images.bin"
    _require_length(path, math.prod(shape))
    return np.memmap(path, np.uint8, "r", shape=shape)


def _require_length(path: Path, length: int) -> None:
    """Check a file's length: reading a map beyond the end of its file would kill the process."""
    found = path.stat().st_size if path.is_file() else None
    if found != length:
        raise _damaged(path, "no file" if found is None else f"{found} bytes", f"{length} bytes")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(
            "not a pack",
            where=folder,
            found="no manifest.json" if folder.is_dir() else "no folder",
            fix=f"tutelage pack DATA --out {folder}",
        )
    return read_sealed(path, kind=KIND, version=FORMAT, fix=FIX)


def _damaged(where: Path, found: object, expected: object = None) -> InputError:
    return InputError(
        f"{KIND} that is damaged", where=where, found=found, expected=expected, fix=FIX
    )


def require_validation(pack: Pack) -> None:
    """Require labelled validation images, by which runs are chosen and compared.

    Raises:
        InputError: there are none.
    """
    if not (pack.labels[pack.rows("val")] >= 0).any():
        raise InputError(
            "no labelled validation images",
            expected="at least one",
            fix="--data.splits redraw --data.split 0.8 0.1 0.1",
        )
