"""What stands in the columns of a table: how often each value occurs, and of which kind the values are."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tutelage.data.readers.tables.table import Table

MOST_VALUES = 100_000
"""A column of more different values is no column of classes."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?")
_ONE = re.compile(r"1(\.0*)?|true", re.IGNORECASE)
_BINARY = re.compile(r"[01](\.0*)?|true|false", re.IGNORECASE)


@dataclass
class Profile:
    """One column."""

    values: Counter[str] | None = field(default_factory=Counter)
    """How often each value occurs; None: there are too many."""
    lines: dict[str, int] = field(default_factory=dict)
    """The line in which a value occurs first."""
    filled: int = 0
    """Cells that are not empty."""
    counts_up: bool = True
    """Whether the cells are 0, 1, 2 ... or 1, 2, 3 ...: the number of the row."""
    rows: int = 0

    def add(self, cell: str, line: int) -> None:
        """Take one cell more."""
        self.counts_up = self.counts_up and cell in (str(self.rows), str(self.rows + 1))
        self.rows += 1
        if not cell:
            return
        self.filled += 1
        if self.values is None:
            return
        self.values[cell] += 1
        self.lines.setdefault(cell, line)
        if len(self.values) > MOST_VALUES:
            self.values = None

    @property
    def distinct(self) -> Sequence[str]:
        """The values that are not empty; none where there are too many."""
        return tuple(self.values or ())

    @property
    def binary(self) -> bool:
        """Whether all cells are 0 and 1, or true and false as pandas writes them."""
        return 0 < len(self.distinct) <= 10 and all(map(_BINARY.fullmatch, self.distinct))

    @property
    def whole(self) -> bool:
        """Whether all cells are whole numbers."""
        return bool(self.distinct) and all(map(_WHOLE.fullmatch, self.distinct))

    @property
    def fractions(self) -> bool:
        """Whether all cells are numbers, and some not whole: a measurement, no class."""
        return bool(self.distinct) and not self.whole and all(map(_NUMBER.fullmatch, self.distinct))

    @property
    def classlike(self) -> bool:
        """Whether the values are few and come again and again."""
        few = 2 <= len(self.distinct) <= max(self.filled // 2, 2)
        return few and not self.fractions and not (self.counts_up and self.rows > 2)


def profile_columns(table: Table) -> list[Profile]:
    """Read a table once, and describe each of its columns."""
    profiles = [Profile() for _ in table.columns]
    for row in table.rows():
        for profile, cell in zip(profiles, row.cells, strict=True):
            profile.add(cell, row.line)
    return profiles


def is_one(cell: str) -> bool:
    """Return whether a cell of a 0/1 column says yes.

    >>> is_one("1"), is_one("1.0"), is_one("True"), is_one("0")
    (True, True, True, False)
    """
    return _ONE.fullmatch(cell) is not None


def whole_text(text: str) -> str:
    """Write a whole number without the fraction that pandas gives it; zeros before it stay.

    >>> whole_text("3.0"), whole_text("-2"), whole_text("007")
    ('3', '-2', '007')
    """
    return text.partition(".")[0]
