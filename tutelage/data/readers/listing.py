"""A plain list of files by relative name: the same for a folder on disk and for a zip."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

LARGEST_FILE = 512 << 20
"""Bytes."""


class File(NamedTuple):
    """One regular file."""

    name: str
    """Relative to the top folder, with `/`."""
    read: Callable[[], bytes]
    """Returns its bytes."""
    stamp: str
    """Changes when the file does."""


@dataclass(slots=True)
class Listing:
    """What a scan found."""

    files: list[File] = field(default_factory=list)
    """Image files."""
    folders: set[str] = field(default_factory=set)
    """Relative names."""
    ignored: Counter[str] = field(default_factory=Counter)
    """How many files were skipped, by reason."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of images that are not opened."""
    tables: list[File] = field(default_factory=list)
    """CSV files at the top, which a zip may hold instead of class folders."""
