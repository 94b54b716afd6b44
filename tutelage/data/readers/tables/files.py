"""Find the files that a table names: as written, below the folder, or without an ending.

A path that does not lead to a file as it is written is looked for in all folders below: a file is found if
its path ends with what the table says, and only one does. Leading folders that all rows share, such as those
of another machine, may be left away; others never are, since `cat/1.jpg` is not `dog/1.jpg`.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from tutelage.data.readers.file_names import IMAGE_SUFFIXES, OTHER_IMAGES
from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.source import Split
from tutelage.data.readers.tables.places import Place, agree_on_places, take_one_of_copies

_NUMBER = re.compile("[0-9]{1,18}")
Find = Callable[[str], "File | str | None"]
"""From a path in the table to the file, the reason why it may not be read, or None if it is missing."""


class Missing(NamedTuple):
    """Why a cell leads to no file."""

    reason: str
    """Such as `there is no such file`."""
    outside: bool = False
    """The path leaves the folder, which is no mishap of one file."""


class Found(NamedTuple):
    """What a cell leads to."""

    name: str
    """Of the file, or the cell in plain form."""
    file: File | str | Missing
    """A file, why it may not be read, or why there is none."""


class _Cell(NamedTuple):
    parts: tuple[str, ...]
    outside: bool

    @property
    def name(self) -> str:
        return "/".join(self.parts)


class Files:
    """The files of one folder or archive."""

    def __init__(self, root: Path, direct: Find, scan: Callable[[], Listing]) -> None:
        """Take what finds a file by its path, and what lists all files when that does not suffice."""
        self.root, self._direct, self._scan = root, direct, scan

    @cached_property
    def listing(self) -> Listing:
        """All files."""
        return self._scan()

    @property
    def scanned(self) -> list[File]:
        """All files, if they had to be listed; else none."""
        return self.listing.files if "listing" in self.__dict__ else []

    def stamp(self, name: str) -> str:
        """Return what changes when a file does; empty if there is no such file."""
        found = self._direct(name)
        return found.stamp if isinstance(found, File) else ""

    def share(self, cells: Sequence[str], *, search: bool) -> float:
        """Return how many of some cells lead to a file, 0 to 1; with `search` also below the folder."""
        found = [cell for cell in cells if cell]
        if not found:
            return 0.0
        plain = [_plain(cell, self.root) for cell in found]
        hits = [self._as_written(cell) for cell in plain]
        if search and not all(hits):
            shared = _shared(plain)
            hits = [
                hit or bool(self._below(cell, shared))
                for hit, cell in zip(hits, plain, strict=True)
            ]
        return sum(map(bool, hits)) / len(found)

    def find(self, cells: Sequence[str], prefer: Split | None) -> list[Found]:
        """Find the file of every cell of a column.

        Args:
            cells: as the table has them.
            prefer: the split whose folder is meant where several hold a file of the name.
        """
        plain = [_plain(cell, self.root) for cell in cells]
        direct = [
            None if cell.outside or not cell.parts else self._direct(cell.name) for cell in plain
        ]
        if all(hit is not None for hit in direct):
            return [Found(cell.name, hit) for cell, hit in zip(plain, direct, strict=True) if hit]
        shared = _shared(plain)
        open_ones = {
            row: self._below(cell, shared)
            for row, (cell, hit) in enumerate(zip(plain, direct, strict=True))
            if hit is None
        }
        agree_on_places(open_ones, prefer)
        take_one_of_copies(open_ones)
        elsewhere = any(open_ones[row] for row in open_ones if plain[row].outside)
        result = []
        for row, (cell, hit) in enumerate(zip(plain, direct, strict=True)):
            if hit is not None:
                result.append(Found(cell.name, hit))
            else:
                result.append(_only(cell, open_ones[row], elsewhere))
        return result

    def _as_written(self, cell: _Cell) -> bool:
        if cell.outside or not cell.parts:
            return False
        hit = self._direct(cell.name)
        return hit is not None and hit != "a folder, not a file"

    def _below(self, cell: _Cell, shared: int) -> dict[Place, File]:
        """Return the files whose path ends as the cell does, by (folder before it, ending)."""
        if cell.outside and shared < 0:
            return {}  # one stray path, not a table from another machine
        for left in range(max(min(shared, len(cell.parts) - 1), 0) + 1):
            parts = cell.parts[left:]
            if not parts or ".." in parts:
                continue
            tail = _key("/".join(parts))
            candidates = self._by_name.get(_key(parts[-1]), [])
            found = {}
            for file in candidates:
                for name, ending in _names(file):
                    key = _key(name)
                    if key == tail or key.endswith("/" + tail):
                        place = Place(name[: len(name) - len("/".join(parts))], ending)
                        if place not in found or name.endswith("/".join(parts)):
                            found[place] = file
            if found:
                return found
        same = self._by_number.get(int(cell.name), []) if _NUMBER.fullmatch(cell.name) else []
        return {Place("", ""): same[0]} if len(same) == 1 else {}

    @cached_property
    def _by_name(self) -> dict[str, list[File]]:
        """Files by their last part, with and without its ending."""
        found: dict[str, list[File]] = defaultdict(list)
        for file in self.listing.files:
            for name, _ in _names(file):
                found[_key(name.rpartition("/")[2])].append(file)
        return found

    @cached_property
    def _by_number(self) -> dict[int, list[File]]:
        """Files whose name is a number: 1 stands for 00001.jpg, since spreadsheets drop zeros."""
        found: dict[int, list[File]] = defaultdict(list)
        for file in self.listing.files:
            stem = _names(file)[-1][0].rpartition("/")[2]
            if _NUMBER.fullmatch(stem):
                found[int(stem)].append(file)
        return found


def _only(cell: _Cell, below: dict[Place, File], elsewhere: bool) -> Found:
    """Return the one file there is for a cell; `elsewhere`: other paths from another machine are found."""
    if len(below) == 1:
        (file,) = below.values()
        return Found(file.name, file)
    if below:
        names = " and ".join(sorted(file.name for file in below.values())[:3])
        return Found(cell.name, Missing(f"several files have that name: {names}"))
    if cell.outside and not elsewhere:
        return Found(cell.name, Missing("a path that leaves the folder of the table", outside=True))
    return Found(cell.name, Missing("there is no such file"))


def _plain(cell: str, root: Path) -> _Cell:
    """Return a path of a table as parts; an absolute one inside the folder becomes relative."""
    text = cell.replace("\\", "/")
    if text.startswith("/"):
        for top in (os.path.abspath(root), os.path.realpath(root)):  # noqa: PTH100 - as written, too
            if text.startswith(f"{top}/"):
                text = text[len(top) + 1 :]
                break
    drive = PureWindowsPath(cell).drive
    outside = bool(drive) or text.startswith("/") or ".." in text.split("/") or "\0" in text
    parts = text[len(drive) :].split("/") if drive and text[1:2] == ":" else text.split("/")
    return _Cell(tuple(part for part in parts if part not in ("", ".")), outside)


def _shared(cells: Sequence[_Cell]) -> int:
    """Return how many leading folders all cells share; -1 if only some lead out of the folder."""
    folders = [cell.parts[:-1] for cell in cells if cell.parts]
    if not folders or len({cell.outside for cell in cells if cell.parts}) > 1:
        return -1 if folders else 0
    low, high = min(folders), max(folders)
    same = (one == other for one, other in zip(low, high, strict=False))
    return sum(takewhile(bool, same))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _names(file: File) -> list[tuple[str, str]]:
    """Return the name of a file with its ending and without it, each with the ending left away."""
    stem, dot, ending = file.name.rpartition(".")
    if dot and f".{ending.lower()}" in IMAGE_SUFFIXES | OTHER_IMAGES:
        return [(file.name, ""), (stem, ending.lower())]
    return [(file.name, "")]
