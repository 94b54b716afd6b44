"""From the label cells of a table to one class name a row; rows with several labels are never joined unasked.

A cell is a name, a whole number (named by the file itself or by `classes.txt` beside it), a list such as
`['cat']`, or several names with a separator. Of 0/1 columns, the one with the 1 is the class.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tutelage.config.schema import flag
from tutelage.data.readers.names import class_name
from tutelage.data.readers.tables.profile import Profile, is_one, whole_text
from tutelage.data.readers.tables.table import Row, Table
from tutelage.errors import InputError
from tutelage.text import escape

_MISSING = frozenset({"", "nan", "NaN", "<NA>"})
_LIST = re.compile(r"\s*[\[({].*[\])}]\s*", re.DOTALL)
_ITEM = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^'",\s][^'",]*?))\s*(?:,|\s|$)""")
_ALWAYS, _IF_ALONE = "|;", " ,+&"
"""Signs that separate labels whatever they are, and signs that also stand within names."""

DROPPED = "several labels (--data.multi-label drop)"


class LabelReader(NamedTuple):
    """How the labels of a table are read."""

    places: tuple[int, ...]
    """Columns."""
    names: tuple[str, ...]
    """Of 0/1 columns."""
    separator: str
    """Between the labels of a cell; empty: a cell is one label."""
    numbers: Mapping[str, str]
    """Class names by number; empty: a number is its own name."""
    whole: bool
    """All cells are whole numbers, perhaps written as 1.0."""
    several: str | None
    """What to do with several labels: drop, joint, or None where there are none."""

    def read(self, row: Row) -> tuple[str, ...]:
        """Return the labels of a row: none, one, or several that are to be dropped."""
        found = self._raw(row)
        if len(found) > 1 and self.several == "joint":
            return ("+".join(sorted(found)),)
        return found

    def _raw(self, row: Row) -> tuple[str, ...]:
        if len(self.places) > 1:
            pairs = zip(self.places, self.names, strict=True)
            return tuple(name for place, name in pairs if is_one(row.cells[place]))
        labels = _labels_of(row.cells[self.places[0]], self.separator) if self.places else ()
        if self.whole:
            labels = tuple(map(whole_text, labels))
        if self.numbers:
            labels = tuple(self.numbers.get(str(int(label)), label) for label in labels)
        return tuple(map(class_name, labels))


def label_reader(
    table: Table,
    places: tuple[int, ...],
    profile: Profile | None,
    names: Mapping[str, str],
    separator: str,
    several: str | None,
) -> LabelReader:
    """Find out how to read the label cells of a table.

    Args:
        table: any.
        places: its label columns.
        profile: of the label column where there is one only.
        names: class names by number, to be used where the labels are such numbers.
        separator: between the labels of a cell, as `separator_of` found it.
        several: what to do with rows of several labels (`data.multi_label`).

    Raises:
        InputError: images have several labels, or the labels are measurements.
    """
    columns = tuple(class_name(table.columns[place]) for place in places)
    plain = LabelReader(places, columns, "", {}, False, several)
    if profile is None or len(places) != 1:
        return plain
    if profile.fractions:
        raise InputError(
            "the labels are numbers with fractions, no classes",
            where=table.where,
            found=f"{columns[0]}: {', '.join(map(escape, profile.distinct[:5]))}",
            fix=f"{flag('data.columns')} label=COLUMN, another column",
        )
    if separator and several is None:
        many = [value for value in profile.distinct if len(_labels_of(value, separator)) > 1]
        if many:
            raise _several(table, columns[0], profile, many)
    numbers = names if profile.whole else {}
    return plain._replace(separator=separator, numbers=numbers, whole=profile.whole)


def separator_of(labels: Sequence[str]) -> str:
    """Return what separates several labels in a cell; empty: each cell is one label.

    A bar, a semicolon and a list always do; a space, a comma or a plus do if the parts are labels of their
    own ("cat", "dog", "cat dog"), or if the same few parts come in ever new numbers and orders.

    >>> separator_of(["cat", "dog", "cat dog"]), separator_of(["golden retriever", "labrador retriever"])
    (' ', '')
    >>> separator_of(["cat|dog", "cat"]), separator_of(["['cat']", "['cat', 'dog']"])
    ('|', '[')
    """
    labels = [label for label in labels if label not in _MISSING]
    if labels and all(map(_LIST.fullmatch, labels)):
        return "["
    for sign in _ALWAYS:
        if any(sign in label for label in labels):
            return sign
    alone = set(labels)
    for sign in _IF_ALONE:
        parts = [tuple(filter(None, map(str.strip, label.split(sign)))) for label in labels]
        joined = [one for one in parts if len(one) > 1]
        if any(len(set(one)) > 1 and alone.issuperset(one) for one in joined):
            return sign
        if joined and _ever_new(parts):
            return sign
    return ""


def _ever_new(parts: Sequence[tuple[str, ...]]) -> bool:
    """Return whether few words make many labels of many lengths, at places that change."""
    words = Counter(word for one in parts for word in one)
    lengths = {len(one) for one in parts}
    same = Counter(frozenset(one) for one in set(parts))
    return max(same.values()) > 1 or (len(parts) > 2 * len(words) and len(lengths) > 2)


def _labels_of(cell: str, separator: str) -> tuple[str, ...]:
    """Return the labels of a cell.

    >>> _labels_of("['cat', 'dog']", "["), _labels_of("cat dog", ""), _labels_of("a| b|", "|")
    (('cat', 'dog'), ('cat dog',), ('a', 'b'))
    """
    if cell in _MISSING:
        return ()
    if not separator:
        return (cell,)
    if separator == "[":
        return tuple(dict.fromkeys(_list_items(cell)))
    return tuple(dict.fromkeys(filter(None, map(str.strip, cell.split(separator)))))


def _list_items(cell: str) -> Iterator[str]:
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list):
        yield from (str(item).strip() for item in value if str(item).strip())
        return
    for found in _ITEM.finditer(cell.strip()[1:-1]):
        if item := next((group for group in found.groups() if group), "").strip():
            yield item


def _several(table: Table, column: str, profile: Profile, many: Sequence[str]) -> InputError:
    rows = sum((profile.values or Counter())[value] for value in many)
    value = many[0]
    return InputError(
        "the images have several labels each",
        where=f"{table.where}, {table.unit} {profile.lines.get(value, 0)}",
        found=f"{column}: {escape(value)!r} and others, {rows:,} rows with more than one label",
        expected="one class for each image: networks here answer one of several classes",
        fix=f"{flag('data.multi_label')} drop to leave these rows out, {flag('data.multi_label')} joint to "
        f"make each combination a class, or {flag('data.columns')} label=COLUMN for another column",
    )


def numbered(names: Iterable[str], start: int = 0) -> dict[str, str]:
    """Return names by number, from `start` on."""
    return {str(number): class_name(name) for number, name in enumerate(names, start)}
