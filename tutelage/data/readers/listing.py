"""A plain list of files by relative name: the same for a folder on disk, a zip and a tar."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tutelage.text import escape

LARGEST_FILE = 512 << 20
"""Bytes."""
LINK_OUT = "a link out of the folder"
_NAMED = 3
_ARCHIVES = ("zip", "tar", "tgz", "tbz2", "txz", "gz", "bz2", "xz")


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
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first names of those skipped, by reason."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of images that are not opened."""
    tables: list[File] = field(default_factory=list)
    """Tables at the top, which an archive may hold instead of class folders."""
    archives: list[str] = field(default_factory=list)
    """Names of archives in it: they are not opened."""

    def pass_over(self, name: str, reason: str) -> None:
        """Count a file that is skipped, and keep its name if it is one of the first."""
        self.ignored[reason] += 1
        if self.ignored[reason] <= _NAMED:
            self.examples.setdefault(reason, []).append(escape(name))

    def note_top_file(self, file: File) -> None:
        """Keep a file at the top that is no image, if it may be a table or an archive."""
        suffix = file.name.lower().rpartition(".")[2]
        if is_table_name(file.name):
            self.tables.append(file)
        elif suffix in _ARCHIVES:
            self.archives.append(file.name)

    def passed_over(self) -> list[str]:
        """Return what was skipped and why, a reason each: `.txt file (40): a/1.txt, a/2.txt, ...`."""
        return format_ignored(self.ignored, self.examples)


def is_table_name(name: str) -> bool:
    """Return whether a file may be a table, by its ending; Parquet is not read inside archives."""
    return name.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson"))


def format_ignored(ignored: Mapping[str, int], examples: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each reason why files were skipped: its count and the first names."""
    lines = []
    for reason, count in sorted(ignored.items()):
        names = examples.get(reason, [])
        more = ", ..." if names and count > len(names) else ""
        lines.append(f"{reason} ({count:,})" + (f": {', '.join(names)}{more}" if names else ""))
    return lines
