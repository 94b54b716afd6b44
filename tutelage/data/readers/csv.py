"""Read a CSV table of images: a header `path,label` or `path,label,split`, then one line per image.

    path,label,split
    photos/1.jpg,cat,train
    photos/2.jpg,,test

Paths are relative to the table and stay in its folder. An empty label is an unlabelled test image. Every
error names the line.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple, NoReturn

from tutelage.data.readers.folder import listed_file, read_image_file
from tutelage.data.readers.layout import finish_source
from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.names import SPLIT_FOLDERS, class_name
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Item, Source, Split, Unreadable
from tutelage.errors import InputError
from tutelage.storage.safe_paths import find_irregular, is_within
from tutelage.text import escape

_COLUMNS = ("path", "label", "split")
_EXPECTED = "path,label or path,label,split"
LARGEST_TABLE = 128 << 20
"""Bytes."""
Find = Callable[[str], "File | str | None"]
"""From a path in the table to the file, the reason why it may not be read, or None if it is missing."""


class _Row(NamedTuple):
    line: int
    path: str
    label: str | None
    split: Split | None


def open_csv(path: Path) -> Source:
    """Open a source from a CSV table on disk.

    Raises:
        InputError: the table cannot be read, or a line cannot be used; the message names the line.
    """
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise Unreadable(f"larger than {LARGEST_TABLE >> 20} MB")
        raw = read_image_file(str(path))
    except Unreadable as error:
        raise InputError("cannot read the table", where=path, found=error.reason) from error
    root = str(path.parent)

    def find(name: str) -> File | str | None:
        full = f"{root}/{name}"
        if not os.path.lexists(full):
            return None
        if not is_within(full, root):
            return "a link out of the folder"
        try:
            status = Path(full).stat()
        except OSError:
            return "a broken link"
        return find_irregular(status.st_mode) or listed_file(root, name, status)

    return read_csv(raw, find, Listing(), {"kind": "table", "name": escape(path.name)}, path)


def is_csv(raw: bytes) -> bool:
    """Return whether bytes begin with the header of such a table."""
    header = raw[:200].decode("utf-8-sig", "replace").splitlines()[:1]
    return bool(header) and [cell.strip().lower() for cell in header[0].split(",")[:2]] == [
        "path",
        "label",
    ]


def read_csv(
    raw: bytes, find: Find, listing: Listing, about: dict[str, Any], where: Path
) -> Source:
    """Build a source from the bytes of a table.

    Args:
        raw: the table.
        find: finds its files.
        listing: where files that may not be read are noted.
        about: description of the source.
        where: for messages.

    Raises:
        InputError: a line cannot be used; the message names it.
    """
    items: list[Item] = []
    lines: dict[str, _Row] = {}
    for row in _rows(raw, where):
        if row.path in lines:
            _refuse(
                where, row.line, f"an image listed before, in line {lines[row.path].line}", row.path
            )
        lines[row.path] = row
        found = find(row.path)
        if found is None:
            _refuse(where, row.line, "there is no such file", row.path)
        if isinstance(found, str):
            listing.refused.append((row.path, found))
        else:
            items.append(Item(found.name, row.split, row.label, found.read, found.stamp))
    with_split = [row for row in lines.values() if row.split]
    without = [row for row in lines.values() if not row.split]
    if with_split and without:
        _refuse(where, without[0].line, "no split, though other lines have one", without[0].path)
    for row in lines.values():
        if row.label is None and row.split != "test":
            _refuse(where, row.line, "no label, and not in the test split", row.path)
    layout = "train, val, test" if with_split else "classes"
    return finish_source(items, listing, {**about, "layout": layout}, where=where)


def _rows(raw: bytes, where: Path) -> Iterator[_Row]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        _refuse(where, line, "the table is not UTF-8 text", f"byte {raw[error.start]:#04x}")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if header not in (list(_COLUMNS[:2]), list(_COLUMNS)):
            hint = "save it with commas" if ";" in "".join(header) else None
            raise InputError(
                "the table has another header",
                where=f"{where}, line 1",
                found=",".join(header) or "nothing",
                expected=_EXPECTED,
                fix=hint,
            )
        for cells in reader:
            if any(cells):
                yield _row(cells, len(header), reader.line_num, where)
    except csv.Error as error:
        _refuse(where, reader.line_num, "not a line of CSV", error)


def _row(cells: list[str], width: int, line: int, where: Path) -> _Row:
    if len(cells) != width:
        _refuse(where, line, f"{len(cells)} cells instead of {width}", ",".join(cells))
    path, label, split = [cell.strip() for cell in (*cells, "")[:3]]
    parts = path.replace("\\", "/").split("/")
    parts = [part for part in parts if part not in ("", ".")]
    if not parts:
        _refuse(where, line, "an empty path", repr(cells[0]))
    if "\0" in path or path.startswith(("/", "\\")) or PureWindowsPath(path).drive or ".." in parts:
        _refuse(where, line, "a path that leaves the folder of the table", path)
    if not _is_name(label):
        _refuse(where, line, "a label that cannot be a name", repr(label))
    if split and split.lower() not in SPLIT_FOLDERS:
        _refuse(where, line, "an unknown split (train, val or test)", split)
    known = SPLIT_FOLDERS[split.lower()] if split else None
    return _Row(line, "/".join(parts), class_name(label) if label else None, known)


def _is_name(label: str) -> bool:
    """Return whether a label can name files and folders: no separator and no control character."""
    return label not in (".", "..") and not any(c in "/\\" or ord(c) < 32 for c in label)


def _refuse(where: Path, line: int, what: str, found: object) -> NoReturn:
    raise InputError(
        what, where=f"{where}, line {line}", found=escape(str(found)), fix="correct the line"
    )


READER = Reader(
    "a CSV table of path,label",
    accepts=lambda _text, path: path.is_file() and path.suffix.lower() == ".csv",
    open=lambda _text, path, _settings: open_csv(path),
)
