"""Open a data source: find the reader for a folder, file or dataset name."""

import os

from tutelage.config.data import DataConfig
from tutelage.data.readers.source import Source
from tutelage.storage.atomic import expand_user


def require_data(data: str | os.PathLike[str]) -> None:
    """Refuse data that are nowhere, before anything takes long.

    Raises:
        InputError: neither a known name nor a path where something is.
    """
    from tutelage.data.readers import builtin as known

    text = os.fspath(data)
    path = expand_user(text)
    if text != "sample" and text not in known.KNOWN and not path.exists():
        raise known.not_found(text, path)


def open_source(data: str | os.PathLike[str], settings: DataConfig) -> Source:
    """Scan a folder, a table (CSV), a zip, the bundled sample, or a known data set.

    A known name wins over a folder of the same name; write `./cifar10` for the folder.

    Raises:
        InputError: nothing is there, or its layout cannot be used; the message shows what is
        expected.
    """
    from tutelage.data.readers import builtin as known
    from tutelage.data.readers import csv as tables
    from tutelage.data.readers import folder as folders
    from tutelage.data.readers import zip as archives

    text = os.fspath(data)
    if text == "sample":
        return archives.open_sample()
    if text in known.KNOWN:
        return known.open_builtin(text, settings)
    path = expand_user(text)
    if path.is_dir():
        return folders.open_folder(path)
    if path.is_file():
        return tables.open_csv(path) if path.suffix.lower() == ".csv" else archives.open_zip(path)
    raise known.not_found(text, path)
