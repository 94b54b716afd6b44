"""Open data for the verbs that have no settings of how data are read: evaluate, export."""

from dataclasses import replace
from pathlib import Path

from tutelage.commands.run_images import NOTHING_KNOWN, RunImages
from tutelage.config.data import DataConfig
from tutelage.config.schema import build
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Source
from tutelage.errors import InputError, TutelageError

_READING = ("layout", "label_from", "class_names", "columns", "multi_label")
"""Settings by which a run's data were read. Those that name other places are not among them, nor is `links`:
a run may be a stranger's.
"""


def open_data(
    data: str | Path,
    settings: DataConfig,
    *,
    most: float,
    run: RunImages = NOTHING_KNOWN,
    instead: str = "",
) -> Source:
    """Open data as a network has learned to see them, or, where that fails, as its run has read its own.

    The columns that a run has taken from its table come first: others would be other labels.

    Args:
        data: whatever can be packed.
        settings: of the network.
        most: largest share of a table's files that may be missing.
        run: what is known of the images of its run.
        instead: what to do where a setting would help; by default, to make a pack with it.

    Raises:
        InputError: the data cannot be read; where a setting would help, the remedy is a pack made with it.
    """
    settings = replace(settings, max_unreadable=most)
    given = run.facts.get("settings")
    chosen = isinstance(given, dict) and given.get("columns")
    if chosen and (source := _as_in_run(data, settings, run)) is not None:
        return source
    try:
        return open_source(str(data), settings)
    except InputError as error:
        if (source := _as_in_run(data, settings, run)) is not None:
            return source
        if error.fix is None or "--data." not in error.fix:
            raise
        pack = f"tutelage pack {data} --data.image-size {settings.image_size} --out DATA.pack"
        raise InputError(
            error.what,
            where=error.where,
            found=error.found,
            expected=error.expected,
            fix=instead
            or f"{error.fix}; as a flag of `{pack}`, and then DATA.pack in place of the data",
        ) from error


def _as_in_run(data: str | Path, settings: DataConfig, run: RunImages) -> Source | None:
    given = run.facts.get("settings") or {}
    try:
        reading = {name: given[name] for name in _READING if given.get(name)}
        build(DataConfig, reading, where="data.json")
        return open_source(str(data), replace(settings, **reading)) if reading else None
    except (TutelageError, AttributeError, TypeError):
        return None
