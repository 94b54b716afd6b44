"""Tables at the top of an archive, which lead to its members."""

from functools import partial
from pathlib import Path
from typing import Any

from tutelage.config.data import DataConfig
from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.source import Source, Unreadable
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.choose import Offer, open_tables
from tutelage.data.readers.tables.encoding import decode
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.open import read_text
from tutelage.data.readers.tables.table import Table
from tutelage.data.readers.tables.words import split_in
from tutelage.errors import InputError


def open_archived_tables(
    listing: Listing, settings: DataConfig, about: dict[str, Any], *, where: Path
) -> Source:
    """Open a source from the tables at the top of an archive.

    Raises:
        InputError: no table leads to images, or it is not clear which.
    """
    files, reasons = {file.name: file for file in listing.files}, dict(listing.refused)
    members = Files(where, lambda name: files.get(name) or reasons.get(name), lambda: listing)

    def read(file: File) -> Table:
        try:
            return read_text(file.read(), where / file.name, members)
        except Unreadable as error:
            raise InputError("cannot read the table", where=where, found=error.reason) from error

    def otherwise() -> Source:
        for offer in offers:  # what is wrong with the first of them
            offer.read()
        raise InputError("no table leads to the images of the archive", where=where)

    offers = [Offer(where / file.name, partial(read, file), members) for file in listing.tables]
    tests = {file.name.split("/")[0] for file in listing.files if "/" in file.name}
    return open_tables(
        offers,
        sorted(name for name in tests if split_in(name) == "test"),
        settings,
        about,
        where=where,
        otherwise=otherwise,
    )


def has_named_table(listing: Listing, where: Path) -> bool:
    """Return whether a table at the top says by the names of its columns that it holds paths and labels.

    Raises:
        InputError: one is damaged.
    """
    for file in listing.tables:
        try:
            header = decode(file.read().partition(b"\n")[0][:4096], where).text
        except Unreadable as error:
            raise InputError("cannot read the table", where=where, found=error.reason) from error
        except InputError:
            continue
        for separator in ",;\t|":
            names = {words.squeeze(cell) for cell in header.split(separator)}
            if names & words.PATHS and names & words.LABELS:
                return True
    return False
