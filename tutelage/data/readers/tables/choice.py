"""The columns of a table that a person has chosen: `--data.columns path=image_id,label=diagnosis`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tutelage.config.schema import flag
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.table import Table
from tutelage.errors import InputError, UsageError
from tutelage.text import escape

_KEYS = ("path", "label", "split")


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
