"""Open the data that a finished network is to be used on."""

import dataclasses
from pathlib import Path

from tutelage.commands.run_images import RunImages
from tutelage.config.data import DataConfig
from tutelage.config.schema import build
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Source
from tutelage.errors import InputError, TutelageError

_READING = ("layout", "label_from", "class_names", "columns", "multi_label")
"""Settings by which a run's data were read; those that lead to other places (`links`, `images`) are not
among them, since a run may be a stranger's.
"""


def open_for_network(
    data: str | Path, settings: DataConfig, run: RunImages, *, instead: str = ""
) -> Source:
    """Open data as they are; where they cannot be read so, as the network's run has read its own.

    The columns that a run has taken from its table come first: others would be other labels.

    Args:
        data: whatever can be packed.
        settings: by which images are prepared for the network.
        run: what is known of the images of its run.
        instead: what to do where a flag of `tutelage pack` would help; by default, to pack them.

    Raises:
        InputError: they cannot be read in either way.
    """
    given = run.facts.get("settings")
    chosen = isinstance(given, dict) and given.get("columns")
    if chosen and (source := _as_in_run(data, settings, run)) is not None:
        return source
    try:
        return open_source(str(data), settings)
    except InputError as error:
        if (source := _as_in_run(data, settings, run)) is not None:
            return source
        if "--data." not in (error.fix or ""):
            raise
        raise InputError(
            error.what,
            where=error.where,
            found=error.found,
            expected=error.expected,
            fix=instead
            or f"{error.fix}. These are flags of `tutelage pack {data} --out PACK`: pack the data, and "
            "give the pack instead",
        ) from error


def _as_in_run(data: str | Path, settings: DataConfig, run: RunImages) -> Source | None:
    given = run.facts.get("settings") or {}
    try:
        reading = {name: given[name] for name in _READING if given.get(name)}
        build(DataConfig, reading, where="data.json")
        return open_source(str(data), dataclasses.replace(settings, **reading)) if reading else None
    except (TutelageError, AttributeError, TypeError):
        return None
