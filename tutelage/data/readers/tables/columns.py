"""Which column of a table is the path, the label, the split: by names and by what stands in them.

The path is the column whose cells lead to files. The label has a usual name, or is the only column of few
values that come again and again. What is not clear is refused with the candidates; `--data.columns` decides.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from tutelage.config.schema import flag
from tutelage.data.readers.source import Split
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.delimited import looks_like_a_path
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.label_columns import find_labels
from tutelage.data.readers.tables.profile import Profile, profile_columns
from tutelage.data.readers.tables.table import Table, column_flags
from tutelage.errors import InputError, UsageError
from tutelage.text import escape

_LOOKED_AT = 300
"""Rows whose cells are looked up as files."""
_KEYS = ("path", "label", "split")


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


@dataclass(frozen=True)
class Choice:
    """The columns that a person has chosen: names or numbers, by role."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, role: str, table: Table) -> tuple[int, ...] | None:
        """Return the places of the columns chosen for a role; None: none was.

        Raises:
            InputError: the table has no such column.
        """
        if role not in self.columns:
            return None
        return tuple(_place(name, table) for name in self.columns[role])


def read_choice(text: str | None) -> Choice:
    """Read `path=image_id,label=diagnosis,split=part`; of 0/1 columns `label=MEL|NV|BCC`; no split: `split=`.

    Raises:
        UsageError: it has another form.
    """
    parts = re.split(rf",(?=\s*(?:{'|'.join(_KEYS)})\s*=)", text) if text else []
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if key.strip() not in _KEYS or not equals or key.strip() in found:
            raise UsageError(
                f"{flag('data.columns')} cannot be read",
                found=text,
                expected="path=COLUMN,label=COLUMN,split=COLUMN, or some of them",
            )
        names = tuple(name.strip() for name in value.split("|"))
        found[key.strip()] = names if any(names) else ()
    return Choice(found)


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
    split, values = _split_column(table, profiles, chosen_split, {path, *by_name})
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
        shares = {place: files.share(cells, search=search) for place, cells in columns.items()}
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
        return first[0], f"{shares[first[0]]:.0%} of its cells lead to files"
    if first:
        raise _ask("it is not clear which column is the path", table, first, "path", columns)
    raise InputError(
        "no column of the table leads to images",
        where=table.where,
        found=_some(table, rows),
        expected=f"a column of image files in {files.root}",
        fix=f"{flag('data.images')} FOLDER, the folder they are in",
    )


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


def _split_column(
    table: Table, profiles: Sequence[Profile], chosen: tuple[int, ...] | None, taken: set[int]
) -> tuple[int | None, Mapping[str, Split]]:
    if chosen is not None:
        if not chosen:
            return None, {}
        profile = profiles[chosen[0]]
        known = words.split_values(table.columns[chosen[0]], profile.values or ())
        if known is None:
            raise _unknown_split(table, chosen[0], profile)
        return chosen[0], known
    found: dict[int, Mapping[str, Split]] = {}
    for place, name in enumerate(table.columns):
        values = profiles[place].values
        if place in taken or values is None or len(values) > 50:
            continue
        squeezed = words.squeeze(name)
        meant = words.split_values(name, values)
        named = squeezed in words.SPLITS_STRONG | words.SPLITS_WEAK
        if meant and (named or (len(set(meant.values())) > 1 and squeezed not in words.LABELS)):
            found[place] = meant
        elif squeezed in words.SPLITS_STRONG and any(values):
            raise _unknown_split(table, place, profiles[place])
    by_name = [
        place for place in found if words.squeeze(table.columns[place]) in words.SPLITS_STRONG
    ]
    first = by_name or list(found)
    if len(first) > 1:
        shown = {place: list(filter(None, profiles[place].values or ())) for place in first}
        raise _ask("it is not clear which column is the split", table, first, "split", shown)
    return (first[0], found[first[0]]) if first else (None, {})


def _unknown_split(table: Table, place: int, profile: Profile) -> InputError:
    values = profile.values or Counter[str]()
    unknown = [value for value in values if value and not words.split_word(value)]
    line = profile.lines.get(unknown[0]) if unknown else None
    return InputError(
        "an unknown split (train, val or test)",
        where=f"{table.where}, {table.unit} {line}" if line else table.where,
        found=f"{_named(table, place)}: {', '.join(map(escape, unknown[:8]))}",
        fix=f"correct the line, or {flag('data.columns')} split= to pass over the column",
    )


def _place(name: str, table: Table) -> int:
    squeezed = [words.squeeze(column) for column in table.columns]
    for names, wanted in ((list(table.columns), name), (squeezed, words.squeeze(name))):
        if names.count(wanted) == 1:
            return names.index(wanted)
    if name.isdecimal() and len(name) < 6 and 0 < int(name) <= len(table.columns):
        return int(name) - 1
    raise InputError(
        f"the table has no column {escape(name)!r}",
        where=table.where,
        expected="one of " + ", ".join(table.columns[:50]),
        fix=f"{flag('data.columns')} with one of these names",
    )


def _ask(
    what: str, table: Table, places: Sequence[int], role: str, cells: Mapping[int, Sequence[str]]
) -> InputError:
    shown = "; ".join(
        f"{table.columns[place]} ({', '.join(dict.fromkeys(filter(None, cells[place][:20])))[:60]})"
        for place in places[:10]
    )
    choices = column_flags(role, [table.columns[place] for place in places[:10]])
    return InputError(what, where=table.where, found=shown, fix=choices)


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
    return _ask(what, table, rest, "label", cells)


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
