"""Open data for the verbs that have no settings of how data are read: evaluate, export."""

from dataclasses import replace
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Source
from tutelage.errors import InputError


def open_data(data: str | Path, settings: DataConfig, *, most: float) -> Source:
    """Open data as a network has learned to see them.

    Args:
        data: whatever can be packed.
        settings: of the network.
        most: largest share of a table's files that may be missing.

    Raises:
        InputError: the data cannot be read; where a setting would help, the remedy is a pack made with it.
    """
    try:
        return open_source(str(data), replace(settings, max_unreadable=most))
    except InputError as error:
        if error.fix is None or "--data." not in error.fix:
            raise
        pack = f"tutelage pack {data} --data.image-size {settings.image_size} --out DATA.pack"
        raise InputError(
            error.what,
            where=error.where,
            found=error.found,
            expected=error.expected,
            fix=f"{error.fix}; as a flag of `{pack}`, and then DATA.pack in place of the data",
        ) from error
