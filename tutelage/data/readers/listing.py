"""A plain list of files by relative name: the same for a folder on disk and for a zip."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

LARGEST_FILE = 512 << 20


class File(NamedTuple):
    """One regular file: its name relative to the top with `/`, how to read it, and its stamp."""

    name: str
    read: Callable[[], bytes]
    stamp: str


@dataclass(slots=True)
class Listing:
    """What a scan found: image files, folders (relative names), and what was left out."""

    files: list[File] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    ignored: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    tables: list[File] = field(default_factory=list)
    """CSV files at the top, which a zip may hold instead of class folders."""
