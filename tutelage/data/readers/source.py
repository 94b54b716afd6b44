"""A source of images, as one list: `open_source(data, settings) -> Source`.

A source is scanned, never decoded, when it is opened; each item knows how to read its own bytes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.config.data import DataConfig
from tutelage.config.renamed import first_names
from tutelage.config.schema import fingerprint, to_table

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


_SEEN_IN_ITEMS = (
    *("layout", "label_from", "class_names", "links"),
    *("images", "columns", "multi_label"),
)
"""Settings whose whole effect is in the items and classes, so that a fingerprint holds it already."""


class Unreadable(Exception):  # noqa: N818 - a verdict on one image, never shown as an error
    """One image cannot be used; `reason` is short, for a list of files set aside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Item(NamedTuple):
    """One image that has not been read yet."""

    name: str
    """Of the file, relative to the source."""
    split: Split | None
    """None: to be drawn."""
    label: str | None
    """Class name; None: unlabelled."""
    read: Callable[[], bytes | NDArray[np.uint8]]
    """Returns the bytes of an image file, or pixels uint8 [H, W, 3] or [H, W]; raises `Unreadable`."""
    stamp: str = ""
    """Changes when the file does (size and time, or a checksum)."""


@dataclass(frozen=True, slots=True)
class Source:
    """A scanned source."""

    description: dict[str, Any]
    """Kind, name and layout, for the report."""
    classes: tuple[str, ...]
    """Class names, in the order of `names.order_classes`."""
    items: list[Item]
    """Ordered by name."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(file, reason) of images not even opened: pipes, broken links, links out of the folder."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """How many files were skipped, by reason."""
    examples: Mapping[str, list[str]] = field(default_factory=dict)
    """The first names of those skipped, by reason."""

    def fingerprint(self, settings: DataConfig) -> str:
        """Return a name for these files under these settings, known before anything is decoded.

        It changes when a file is added, removed, renamed, rewritten or moved to another class or split.
        """
        digest = hashlib.sha256()
        for item in self.items:
            row = (item.name, item.split or "", item.label or "", item.stamp)
            digest.update("\0".join((*row, "\n")).encode("utf-8", "surrogateescape"))
        plain = first_names(to_table(settings), "data")
        for name in ("root", *_SEEN_IN_ITEMS):
            plain.pop(name, None)
        return fingerprint(plain, sorted(self.classes), self.refused, digest.hexdigest())
