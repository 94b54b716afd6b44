"""From the tables of a folder or archive to a source: which are read, and which split each is."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.data import DataConfig
from tutelage.data.readers.source import Item, Source, Split
from tutelage.data.readers.tables.choice import Choice, read_choice
from tutelage.data.readers.tables.columns import find_columns
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.read import SourceTable, read_parts
from tutelage.data.readers.tables.table import Table
from tutelage.data.readers.tables.words import split_in
from tutelage.errors import InputError, MachineError, TutelageError

_LOOKED_AT = 20
"""Rows."""
_DOUBTS = ("it is", "the images have")
"""How messages begin that speak of a table of images, rather than of none."""


class Offer(NamedTuple):
    """A file that may be a table."""

    path: Path
    read: Callable[[], Table]
    """Raises InputError if it is none."""
    files: Files
    """Where its paths lead."""
    prefix: str = ""
    """Goes before the names of its images: its folder, if its paths lead there."""
    folder: str = ""
    """Name of the folder it is in, if that is not the top."""
    top: Files | None = None
    """Where its paths lead if not there: to the top."""


class _Candidate(NamedTuple):
    offer: Offer
    table: Table
    split: Split | None
    labelled: bool


def open_tables(
    offers: Sequence[Offer],
    tests: Sequence[str],
    settings: DataConfig,
    about: dict[str, Any],
    *,
    where: Path,
    otherwise: Callable[[], Source],
) -> Source:
    """Open a source from tables beside images.

    Args:
        offers: files that may be tables.
        tests: folders of test images, at the top.
        settings: of the data.
        about: description of the source.
        where: for messages.
        otherwise: opens the source where no table leads to images.

    Raises:
        InputError: the tables are not clear; see `read_parts`.
    """
    candidates, told, doubts = _read_all(offers, settings)
    labelled = [one for one in candidates if one.labelled]
    if not labelled:
        if doubts:
            raise doubts[0]
        return otherwise()
    chosen = _choose(labelled, where)
    lists = {"train", "val", "test"} if len(chosen) == 1 and not chosen[0].split else {"test"}
    chosen += [one for one in candidates if not one.labelled and one.split in lists]
    named = len(chosen) > 1 or bool(tests) or bool(chosen[0].offer.prefix)
    parts = [
        SourceTable(
            one.table,
            one.offer.files,
            one.split if named else None,
            one.offer.prefix,
            one.labelled,
        )
        for one in chosen
    ]
    beside = [] if settings.images else _unlabelled(parts, tests)
    tables = [f"table: {', '.join(one.offer.path.name for one in chosen[:8])}", *told]
    return read_parts(parts, settings, about, where=where, beside=beside, told=tables)


def _read_all(
    offers: Sequence[Offer], settings: DataConfig
) -> tuple[list[_Candidate], list[str], list[TutelageError]]:
    """Return the tables that lead to images, what was passed over, and tables that are not clear."""
    choice, several = read_choice(settings.columns), settings.multi_label is not None
    candidates, passed_over = [], []
    doubts: list[TutelageError] = []
    for offer in offers:
        name = offer.path.name
        if "submission" in name.lower():
            passed_over.append(f"{name} (an example of a submission)")
            continue
        try:
            candidates.append(_read(offer, choice, several))
        except (InputError, MachineError) as error:
            if isinstance(error, MachineError) or error.what.startswith(_DOUBTS):
                doubts.append(error)
            passed_over.append(name)
    return candidates, [f"passed over: {', '.join(passed_over[:8])}"] if passed_over else [], doubts


def _read(offer: Offer, choice: Choice, several: bool) -> _Candidate:
    """Find out what an offer is; its paths may lead to its own folder or to the top.

    Raises:
        InputError: no table of images, or none that is clear.
    """
    table = offer.read()
    split = split_in(offer.path.stem) or split_in(offer.folder)
    if offer.top and not _leads(table, offer.files):
        offer = offer._replace(files=offer.top, prefix="")
    roles = find_columns(table, offer.files, choice, labelled=False, several=several)
    return _Candidate(offer, table, split, bool(roles.labels))


def _leads(table: Table, files: Files) -> bool:
    """Return whether any of the first cells of a table leads to a file."""
    if table.embedded is not None:
        return True
    rows = [row.cells for row in islice(table.rows(), _LOOKED_AT)]
    return any(files.share(cells, search=True) for cells in zip(*rows, strict=True))


def _choose(labelled: Sequence[_Candidate], where: Path) -> list[_Candidate]:
    """Return the tables to read: one, or one or more for each split.

    Raises:
        InputError: there are several, and their names do not say which splits they are.
    """
    with_split = [one for one in labelled if one.split]
    splits = {one.split for one in with_split}
    if "train" in splits and len(splits) > 1:  # a table of all images beside those of the splits
        return sorted(with_split, key=lambda one: one.split != "train")
    if len(labelled) == 1 or len(with_split) == len(labelled):
        return sorted(labelled, key=lambda one: one.split != "train")
    raise InputError(
        "there are several tables of images",
        where=where,
        found=", ".join(one.offer.path.name for one in labelled[:10]),
        expected="one table, or train, val and test",
        fix=f"one of them in place of the folder, such as {labelled[0].offer.path}",
    )


def _unlabelled(parts: Sequence[SourceTable], tests: Sequence[str]) -> list[Item]:
    """Return the images of test folders that have no table of their own."""
    tabled = {part.prefix.rstrip("/") for part in parts}
    free = [name for name in tests if name not in tabled]
    return [
        Item(file.name, "test", None, file.read, file.stamp)
        for file in (parts[0].files.listing.files if free else ())
        if file.name.split("/")[0] in free
    ]
