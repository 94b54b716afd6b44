"""The rows of one table, each with its file, label and split, checked; every error names the line."""

from typing import NamedTuple

from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.names import class_name
from tutelage.data.readers.source import Split
from tutelage.data.readers.tables.columns import Roles, folder_of
from tutelage.data.readers.tables.files import Files, Found, Missing
from tutelage.data.readers.tables.labels import DROPPED, LabelReader
from tutelage.data.readers.tables.table import Row, Table


class PlacedRow(NamedTuple):
    """A row of a table."""

    table: Table
    line: int
    path: str
    """As the table has it."""
    found: Found
    label: str | None
    split: Split | None
    labelled: bool
    """Whether its table has labels."""


def place_rows(
    table: Table,
    files: Files,
    split: Split | None,
    prefix: str,
    roles: Roles,
    labels: LabelReader,
    listing: Listing,
) -> list[PlacedRow]:
    """Read the rows of a table.

    Args:
        table: any.
        files: where its paths lead.
        split: of all rows, unless the table has a column of splits.
        prefix: goes before the names of the files.
        roles: its columns.
        labels: reads the labels.
        listing: where rows that are left out are counted.

    Raises:
        InputError: a row cannot be used.
    """
    rows = []
    for row in table.rows():
        several = labels.read(row)
        if roles.by_folder:
            several = (class_name(folder_of(row.cells[roles.path])),)
        if len(several) > 1:
            listing.ignored[DROPPED] += 1
        else:
            rows.append((row, several[0] if several and several[0] else None))
    found = _files(table, files, split, [row for row, _ in rows], roles)
    placed, lines = [], dict[str, int]()
    for (row, label), one in zip(rows, found, strict=True):
        path = row.cells[roles.path]
        _check(table, row, path, one, label)
        if one.name in lines:
            table.refuse(
                row.line,
                f"an image listed before, in {table.unit} {lines[one.name]}",
                path,
                "one line for each image",
            )
        lines[one.name] = row.line
        name = f"{prefix}{one.name}"
        placed.append(
            PlacedRow(
                table,
                row.line,
                path,
                Found(name, one.file),
                label,
                _split(row, roles) or split,
                bool(roles.labels) or roles.by_folder,
            )
        )
    _require_all_splits(placed)
    return placed


def _files(
    table: Table, files: Files, split: Split | None, rows: list[Row], roles: Roles
) -> list[Found]:
    if table.read_image is None:
        return files.find([row.cells[roles.path] for row in rows], split)
    read, stamp = table.read_image, files.stamp(table.where.name)
    found = []
    for row in rows:
        inner = row.cells[roles.path].replace("\\", "/").rpartition("/")[2]
        name = f"{table.where.name}/{row.line:08}" + (f"-{inner}" if inner else "")
        image = File(name, lambda line=row.line: read(line), f"{stamp}:{row.line}")  # type: ignore[misc]
        found.append(Found(name, image))
    return found


def _check(table: Table, row: Row, path: str, found: Found, label: str | None) -> None:
    if not path and table.read_image is None:
        table.refuse(row.line, "an empty path", repr(path))
    if isinstance(found.file, Missing) and found.file.outside:
        table.refuse(
            row.line,
            found.file.reason,
            path,
            "correct the line, or --data.images FOLDER, the folder the images are in",
        )
    if label is not None and not _is_name(label):
        table.refuse(row.line, "a label that cannot be a name", repr(label))


def _is_name(label: str) -> bool:
    """Return whether a label can name files and folders: no separator and no control character."""
    return label not in (".", "..") and not any(c in "/\\" or ord(c) < 32 for c in label)


def _split(row: Row, roles: Roles) -> Split | None:
    return None if roles.split is None else roles.split_values.get(row.cells[roles.split])


def _require_all_splits(rows: list[PlacedRow]) -> None:
    without = [row for row in rows if row.split is None]
    if without and len(without) < len(rows):
        first = without[0]
        first.table.refuse(first.line, "no split, though other lines have one", first.path)
