"""Which column of a table is the path, the label, the split: by names and by what stands in them.

The path is the column whose cells lead to files. The label has a usual name, or is the only column of few
values that come again and again. What is not clear is refused with the candidates; `--data.columns` decides.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from tutelage.config.schema import flag
from tutelage.data.readers.source import Split
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.choice import Choice
from tutelage.data.readers.tables.delimited import looks_like_a_path
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.label_columns import find_labels
from tutelage.data.readers.tables.profile import Profile, profile_columns
from tutelage.data.readers.tables.split_column import find_split
from tutelage.data.readers.tables.table import Table, ask_for_column
from tutelage.errors import InputError
from tutelage.text import escape

_LOOKED_AT = 300
"""Rows whose cells are looked up as files."""


class Roles(NamedTuple):
    """What the columns of a table are, by their places."""

    path: int
    labels: tuple[int, ...]
    """One column, or the 0/1 columns of which one says the class; empty: no labels."""
    split: int | None
    split_values: Mapping[str, Split]
    told: tuple[str, ...]
    """What was understood, and why."""
    by_folder: bool = False
    """Whether the label is the folder of the image: a list of paths alone, as in Food-101."""


def find_columns(
    table: Table, files: Files, choice: Choice, *, labelled: bool, several: bool
) -> Roles:
    """Find out what the columns of a table are.

    Args:
        table: any.
        files: where its paths lead.
        choice: what is already decided.
        labelled: whether there must be labels; a table of a competition's test images has none.
        several: whether rows with several labels are dealt with later.

    Raises:
        InputError: it is not clear; the message has the candidates.
    """
    path, why = _path_column(table, files, choice)
    told = [f"path: {_named(table, path)} ({why})"]
    profiles, by_folder = profile_columns(table), False
    chosen_split = choice.of("split", table)
    by_name = choice.of("label", table) or ()
    split, values = find_split(table, profiles, chosen_split, {path, *by_name})
    labels, why = find_labels(
        table,
        profiles,
        choice.of("label", table),
        {path} | ({split} if split is not None else set()),
        several=several,
    )
    if labels:
        told.append(f"label: {_listed(table, labels)} ({why})")
    elif by_folder := labelled and _names_folders(table, path, profiles):
        told.append("label: the folder of each image, since there is no other column")
    elif labelled:
        raise _unclear("no column is the label", table, profiles, {path, split})
    if split is not None:
        shown = ", ".join(
            f"{escape(value)} = {meant}" for value, meant in sorted(values.items())[:8]
        )
        told.append(f"split: {_named(table, split)} ({shown})")
    return Roles(path, labels, split, values, tuple(told), by_folder)


def _path_column(table: Table, files: Files, choice: Choice) -> tuple[int, str]:
    if table.embedded is not None:
        return table.embedded, "the images are in the file"
    if chosen := choice.of("path", table):
        return chosen[0], "chosen"
    rows = [row.cells for row in islice(table.rows(), _LOOKED_AT)]
    columns = {place: [cells[place] for cells in rows] for place in range(len(table.columns))}
    for search in (False, True):
        shares = {
            place: files.share(cells, search=search) * _distinct(cells)
            for place, cells in columns.items()
        }
        best = max(shares.values(), default=0)
        if best > 0.5:
            break
    rank = {place: _path_rank(name) for place, name in enumerate(table.columns)}
    found = [place for place, share in shares.items() if share and share >= 0.8 * best]
    if best <= 0.5:  # what leads to few files may do so by chance
        found = [place for place in rank if rank[place] == 2] or found
    first = [place for place in found if rank[place] == max(rank[one] for one in found)]
    if len(first) > 1:
        first = _likely_path({place: columns[place] for place in first}, files)
    if len(first) == 1:
        share = files.share(columns[first[0]], search=True)
        return first[0], f"{share:.0%} of its cells lead to files"
    if first:
        raise ask_for_column(
            "it is not clear which column is the path", table, first, "path", columns
        )
    raise InputError(
        "no column of the table leads to images",
        where=table.where,
        found=_some(table, rows),
        expected=f"a column of image files in {files.root}",
        fix=f"{flag('data.images')} FOLDER, the folder they are in",
    )


def _distinct(cells: Sequence[str]) -> float:
    """Return how many cells differ, 0 to 1: a label 0 is not 0.jpg, though it leads to it."""
    return len(set(cells)) / max(len(cells), 1)


def _names_folders(table: Table, path: int, profiles: Sequence[Profile]) -> bool:
    """Return whether a table holds paths alone, or numbered, in two or more folders of several images."""
    if any(place != path and not one.counts_up for place, one in enumerate(profiles)):
        return False
    folders = Counter(folder_of(row.cells[path]) for row in table.rows())
    return len(folders) > 1 and "" not in folders and max(folders.values()) > 1


def folder_of(cell: str) -> str:
    """Return the name of the folder that a path is in.

    >>> folder_of("images/pie/1.jpg"), folder_of("1.jpg")
    ('pie', '')
    """
    return cell.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]


def _likely_path(columns: Mapping[int, Sequence[str]], files: Files) -> list[int]:
    """Return those of several columns that may be the path: one of equals, or those of image endings."""
    leads = {tuple(one.name for one in files.find(cells, None)) for cells in columns.values()}
    if len(leads) == 1:
        return [next(iter(columns))]
    return [place for place in columns if looks_like_a_path(columns[place][0])] or [*columns]


def _path_rank(name: str) -> int:
    if words.squeeze(name) in words.PATHS:
        return 2
    return int(bool(words.parts_of(name) & words.PATH_PARTS))


def _unclear(
    what: str, table: Table, profiles: Sequence[Profile], taken: set[int | None]
) -> InputError:
    rest = [place for place in range(len(table.columns)) if place not in taken]
    if not rest:
        return InputError(
            what,
            where=f"{table.where}, line 1",
            found=", ".join(table.columns[:50]),
            expected="a column of labels beside that of the paths",
            fix="a table with labels",
        )
    cells = {place: list(profiles[place].values or ("many different values",)) for place in rest}
    return ask_for_column(what, table, rest, "label", cells)


def _some(table: Table, rows: Sequence[tuple[str, ...]]) -> str:
    first = rows[0] if rows else ("",) * len(table.columns)
    return ", ".join(
        f"{name} ({escape(cell[:40])})"
        for name, cell in zip(table.columns[:20], first, strict=False)
    )


def _named(table: Table, place: int) -> str:
    return escape(table.columns[place])


def _listed(table: Table, places: Sequence[int]) -> str:
    names = [_named(table, place) for place in places]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
