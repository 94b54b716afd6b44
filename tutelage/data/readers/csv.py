"""A CSV table in an archive: what `readers/tables` reads, with the files of the archive."""

from pathlib import Path
from typing import Any

from tutelage.config.data import DataConfig
from tutelage.data.readers.listing import Listing
from tutelage.data.readers.source import Source
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.delimited import read_delimited
from tutelage.data.readers.tables.encoding import decode
from tutelage.data.readers.tables.files import Files, Find
from tutelage.data.readers.tables.header import has_header
from tutelage.data.readers.tables.read import Part, read_parts
from tutelage.data.readers.tables.table import LARGEST_TABLE as LARGEST_TABLE
from tutelage.errors import InputError


def is_csv(raw: bytes) -> bool:
    """Return whether bytes begin with a header that names a path and a label."""
    try:
        header = decode(raw.partition(b"\n")[0][:4096], Path()).text
    except InputError:
        return False
    for separator in ",;\t|":
        names = {words.squeeze(cell) for cell in header.split(separator)}
        if names & words.PATHS and names & words.LABELS:
            return True
    return False


def read_csv(
    raw: bytes,
    find: Find,
    listing: Listing,
    about: dict[str, Any],
    where: Path,
    settings: DataConfig | None = None,
) -> Source:
    """Build a source from the bytes of a table.

    Args:
        raw: the table.
        find: finds its files.
        listing: all files; where those that may not be read are noted.
        about: description of the source.
        where: for messages.
        settings: of the data.

    Raises:
        InputError: the table is not clear, or a line cannot be used; the message names it.
    """
    files = Files(where, find, lambda: listing)
    table = read_delimited(raw, where, lambda first, rows: has_header(first, rows, files))
    return read_parts(
        [Part(table, files)], settings or DataConfig(), about, where=where, listing=listing
    )
