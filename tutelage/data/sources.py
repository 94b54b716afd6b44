"""Where images come from, as one list: `open_source(data, settings) -> Source`.

A source is scanned, never decoded, when it is opened; each item knows how to read its own bytes.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.config import fingerprint, table
from tutelage.data.settings import Data
from tutelage.files import at_home

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Unreadable(Exception):  # noqa: N818 - a verdict on one image, never shown as an error
    """One image cannot be used; `reason` is short, for a list of files set aside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Item(NamedTuple):
    """One image that has not been read yet.

    `read` returns the bytes of an image file, or ready pixels uint8 [H, W, 3] or [H, W], and raises
    `Unreadable`. `stamp` changes when the file does (size and time, or a checksum).
    """

    name: str
    split: Split | None
    label: str | None
    read: Callable[[], bytes | NDArray[np.uint8]]
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A scanned source: items ordered by name, class names sorted, what was left out and why."""

    description: dict[str, Any]
    classes: tuple[str, ...]
    items: list[Item]
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(file, reason) of images not even opened: pipes, broken links, links out of the folder."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """How many files were passed over, by reason."""

    def fingerprint(self, settings: Data) -> str:
        """A name for these files under these settings, known before anything is decoded.

        It changes when a file is added, removed, renamed, rewritten or moved to another class or
        split.
        """
        digest = hashlib.sha256()
        for item in self.items:
            row = (item.name, item.split or "", item.label or "", item.stamp)
            digest.update("\0".join((*row, "\n")).encode("utf-8", "surrogateescape"))
        plain = table(settings)
        plain.pop("root", None)
        return fingerprint(plain, self.classes, self.refused, digest.hexdigest())


def require_data(data: str | os.PathLike[str]) -> None:
    """Refuse data that are nowhere, before anything takes long.

    Raises:
        InputError: neither a known name nor a path where something is.
    """
    from tutelage.data import known

    text = os.fspath(data)
    path = at_home(text)
    if text != "sample" and text not in known.KNOWN and not path.exists():
        raise known.not_found(text, path)


def open_source(data: str | os.PathLike[str], settings: Data) -> Source:
    """Scan a folder, a table (CSV), a zip, the bundled sample, or a known data set.

    A known name wins over a folder of the same name; write `./cifar10` for the folder.

    Raises:
        InputError: nothing is there, or its layout cannot be used; the message shows what is
        expected.
    """
    from tutelage.data import archives, folders, known, tables

    text = os.fspath(data)
    if text == "sample":
        return archives.open_sample()
    if text in known.KNOWN:
        return known.open_known(text, settings)
    path = at_home(text)
    if path.is_dir():
        return folders.open_folder(path)
    if path.is_file():
        return tables.open_table(path) if path.suffix.lower() == ".csv" else archives.open_zip(path)
    raise known.not_found(text, path)
