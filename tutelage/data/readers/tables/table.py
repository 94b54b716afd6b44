"""The one shape that every kind of table is read into: columns, and rows of text."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from tutelage.config.schema import flag
from tutelage.errors import InputError
from tutelage.text import escape

LARGEST_TABLE = 128 << 20
"""Bytes."""
MOST_COLUMNS = 10_000


class Row(NamedTuple):
    """One row of a table."""

    line: int
    """Where it stands in the file, from 1; for messages."""
    cells: tuple[str, ...]
    """As many as there are columns, without spaces around them; empty: nothing is there."""


class Table(NamedTuple):
    """A table that can be read any number of times."""

    format: str
    """In words, such as `CSV, separated by ;`."""
    where: Path
    """Its file."""
    columns: tuple[str, ...]
    """Their names; `column 1` and so on without a header."""
    rows: Callable[[], Iterator[Row]]
    """Reads the rows, each time from the first; raises InputError for one that cannot be read."""
    unit: str = "line"
    """What `Row.line` counts."""
    class_names: Mapping[str, tuple[str, ...]] = {}
    """For a column of class numbers, the names that the file itself gives them."""
    embedded: int | None = None
    """The column whose images are in the file itself, if one is."""
    read_image: Callable[[int], bytes] | None = None
    """Reads the image of a row of `embedded`, by its line; raises `Unreadable`."""

    def refuse(
        self, line: int, what: str, found: object, fix: str = "correct the line"
    ) -> NoReturn:
        """Refuse the table because of one row.

        Raises:
            InputError: always; it names the line.
        """
        raise InputError(
            what, where=f"{self.where}, {self.unit} {line}", found=escape(str(found)), fix=fix
        )


def column_flags(role: str, columns: Sequence[str]) -> str:
    """Return the flags, one for each column, that choose it for a role.

    >>> column_flags("label", ["dx", "Finding Labels"])
    "--data.columns label=dx or --data.columns 'label=Finding Labels'"
    """
    name = flag("data.columns")
    return " or ".join(f"{name} {shlex.quote(f'{role}={column}')}" for column in columns)


def ask_for_column(
    what: str, table: Table, places: Sequence[int], role: str, cells: Mapping[int, Sequence[str]]
) -> InputError:
    """Return the error for columns that all may be what is looked for, with the flags that choose one."""
    shown = "; ".join(
        f"{table.columns[place]} ({', '.join(dict.fromkeys(filter(None, cells[place][:20])))[:60]})"
        for place in places[:10]
    )
    choices = column_flags(role, [table.columns[place] for place in places[:10]])
    return InputError(what, where=table.where, found=shown, fix=choices)


def cell_text(value: object) -> str:
    """Return a value of JSON or Parquet as the text that a CSV file would hold.

    >>> [cell_text(value) for value in (None, 3, 3.0, 0.5, True, " a ", ["cat", "dog"], float("nan"))]
    ['', '3', '3', '0.5', 'True', 'a', '["cat", "dog"]', '']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()
