"""Open a data source: find the reader for a folder, file or dataset name.

A new reader is a file beside this one, and a line in `READERS`.
"""

import os
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.data.readers import builtin, folder, zip
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source
from tutelage.data.readers.tables import folder as table_folder
from tutelage.data.readers.tables import open as tables
from tutelage.storage.atomic import expand_user

READERS: tuple[Reader, ...] = (
    zip.SAMPLE_READER,
    builtin.READER,
    table_folder.READER,
    folder.READER,
    tables.READER,
    zip.READER,
)
"""Every reader; the first that accepts reads. A dataset's name wins over a folder of that name."""


def require_data(data: str | os.PathLike[str]) -> None:
    """Refuse data that do not exist, before anything takes long.

    Raises:
        InputError: neither a known name nor a path to anything.
    """
    _find(data)


def open_source(data: str | os.PathLike[str], settings: DataConfig) -> Source:
    """Scan a folder, a table, a zip, the bundled sample, or a known dataset.

    A known name wins over a folder of the same name; write `./cifar10` for the folder.

    Raises:
        InputError: nothing is there, or its layout cannot be used; the message shows what is expected.
    """
    reader, text, path = _find(data)
    return reader.open(text, path, settings)


def _find(data: str | os.PathLike[str]) -> tuple[Reader, str, Path]:
    text = os.fspath(data)
    path = expand_user(text)
    for reader in READERS:
        if reader.accepts(text, path):
            return reader, text, path
    raise builtin.not_found(text, path)
