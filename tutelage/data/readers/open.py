"""Open a data source: find the reader for a folder, file or dataset name.

A new reader is a file beside this one, and a line in `READERS`.
"""

import os
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers import archive, builtin, folder, sample
from tutelage.data.readers.names import alike_classes
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source
from tutelage.data.readers.tables import folder as table_folder
from tutelage.data.readers.tables import open as tables
from tutelage.errors import InputError
from tutelage.storage.atomic import expand_user

READERS: tuple[Reader, ...] = (
    sample.READER,
    builtin.READER,
    table_folder.READER,
    folder.READER,
    tables.READER,
    archive.READER,
)
"""Every reader; the first that accepts reads. A dataset's name wins over a folder of that name."""


def require_data(data: str | os.PathLike[str]) -> None:
    """Refuse data that do not exist, before anything takes long.

    Raises:
        InputError: neither a known name nor a path to anything.
    """
    _find(data)


def open_source(data: str | os.PathLike[str], settings: DataConfig) -> Source:
    """Scan a folder, a table, a zip or tar, the bundled sample, or a known dataset.

    A known name wins over a folder of the same name; write `./cifar10` for the folder.

    Raises:
        InputError: nothing is there, or its layout or class names cannot be used; the message shows what is
            expected.
    """
    reader, text, path = _find(data)
    source = reader.open(text, path, settings)
    if settings.class_names != "exact":
        _require_distinct(source, path)
    return source


def _require_distinct(source: Source, where: Path) -> None:
    for group in alike_classes(source.classes):
        raise InputError(
            "class names are the same but for case, spaces or the form of a character",
            where=where,
            found=" and ".join(map(repr, group)),
            fix=f"rename or merge them, or {flag('data.class_names')} exact for classes that differ",
        )


def _find(data: str | os.PathLike[str]) -> tuple[Reader, str, Path]:
    text = os.fspath(data)
    path = expand_user(text)
    for reader in READERS:
        if reader.accepts(text, path):
            return reader, text, path
    raise builtin.not_found(text, path)
