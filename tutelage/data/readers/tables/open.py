"""Open a table on disk by its ending: CSV, TSV, text lists, JSON lines, Parquet."""

import os
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.folder import listed_file, read_image_file, scan_folder
from tutelage.data.readers.listing import File
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source, Unreadable
from tutelage.data.readers.tables.delimited import read_delimited
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.header import has_header
from tutelage.data.readers.tables.json_lines import read_json_lines
from tutelage.data.readers.tables.parquet import read_parquet
from tutelage.data.readers.tables.read import SourceTable, read_parts
from tutelage.data.readers.tables.table import LARGEST_TABLE, Table
from tutelage.errors import InputError
from tutelage.storage.atomic import expand_user
from tutelage.storage.safe_paths import find_irregular, is_within
from tutelage.text import escape

TEXT = frozenset({".csv", ".tsv", ".tab", ".psv", ".txt", ".lst", ".list", ".data"})
JSON = frozenset({".jsonl", ".ndjson", ".json"})
PARQUET = frozenset({".parquet", ".pq"})
SPREADSHEETS = frozenset({".xlsx", ".xls", ".ods", ".numbers"})


def open_table(path: Path, settings: DataConfig) -> Source:
    """Open a source from a table on disk.

    Raises:
        InputError: the table cannot be read, is not clear, or a line cannot be used.
    """
    files = files_of(path.parent, settings)
    about = {"kind": "table", "name": escape(path.name)}
    return read_parts([SourceTable(read_any(path, files), files)], settings, about, where=path)


def read_any(path: Path, files: Files) -> Table:
    """Read a table of any kind; its paths lead to `files`.

    Raises:
        InputError: it is no such table.
    """
    suffix = path.suffix.lower()
    if suffix in SPREADSHEETS:
        raise InputError(
            "a spreadsheet is not read", where=path, fix="save it as CSV, and give that file"
        )
    if suffix in PARQUET:
        return read_parquet(path)
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise Unreadable(f"larger than {LARGEST_TABLE >> 20} MB")
        raw = read_image_file(str(path))
    except (OSError, Unreadable) as error:
        raise InputError("cannot read the table", where=path, found=error) from error
    return read_text(raw, path, files)


def read_text(raw: bytes, path: Path, files: Files) -> Table:
    """Read the bytes of a table of text or JSON; its paths lead to `files`.

    Raises:
        InputError: it is no such table.
    """
    if path.suffix.lower() in JSON:
        return read_json_lines(raw, path)
    return read_delimited(raw, path, lambda first, rows: has_header(first, rows, files))


def files_of(folder: Path, settings: DataConfig) -> Files:
    """Return where the paths of tables in a folder lead: to it, or to `--data.images`.

    Raises:
        InputError: there is no such folder.
    """
    root = expand_user(settings.images) if settings.images else folder
    if not root.is_dir():
        raise InputError(
            "no such folder of images",
            where=root,
            fix=f"{flag('data.images')} FOLDER, a folder that is there",
        )

    follow = settings.links == "follow"

    def find(name: str) -> File | str | None:
        full = f"{root}/{name}"
        if not os.path.lexists(full):
            return None
        if not follow and not is_within(full, root):
            return "a link out of the folder"
        try:
            status = Path(full).stat()
        except OSError:
            return "a broken link"
        return find_irregular(status.st_mode) or listed_file(str(root), name, status)

    return Files(root, find, lambda: scan_folder(root, follow=follow))


READER = Reader(
    "a table of paths and labels: CSV, TSV, a text list, JSON lines, Parquet",
    accepts=lambda _text, path: (
        path.is_file() and path.suffix.lower() in TEXT | JSON | PARQUET | SPREADSHEETS
    ),
    open=lambda _text, path, settings: open_table(path, settings),
)
