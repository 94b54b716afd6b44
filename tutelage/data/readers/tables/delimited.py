"""Tables of text: values separated by commas, semicolons, tabs or bars, and lists of "path label" lines.

The separator is found from the first lines: the one that gives every line the same number of cells, of which
one ends like an image or has a known column name.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn

from tutelage.data.readers.file_names import IMAGE_SUFFIXES, OTHER_IMAGES
from tutelage.data.readers.tables.encoding import decode
from tutelage.data.readers.tables.table import MOST_COLUMNS, Row, Table
from tutelage.data.readers.tables.words import LABELS, PATHS, squeeze
from tutelage.errors import InputError
from tutelage.text import escape

_NAMES = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
_PREAMBLE = re.compile(r"\A(?:(?:#[^\n,;|\t]*|sep=.)\r?\n)+", re.IGNORECASE)
"""Comments before the header, and Excel's line that names the separator."""
_SIGNED = re.compile(r"[+-]?\d+(?:\.\d+)?")
_SNIFFED = 50
"""Lines."""
_ENDINGS = "|".join(re.escape(suffix[1:]) for suffix in IMAGE_SUFFIXES | OTHER_IMAGES)
_PATH_AND_REST = re.compile(rf"(.*?\.(?:{_ENDINGS}))\s+(.*)", re.IGNORECASE)
_QUOTED_PATH = re.compile(r'(["\'])(.+?)\1\s+(.*)')
_NUMBER_AND_PATH = re.compile(rf"([+-]?\d+)\s+(.*\.(?:{_ENDINGS}))", re.IGNORECASE)
_ENDS_LIKE_AN_IMAGE = re.compile(rf".*\.(?:{_ENDINGS})", re.IGNORECASE)


def read_delimited(
    raw: bytes, where: Path, has_header: Callable[[tuple[str, ...], list[Row]], bool]
) -> Table:
    """Read a table of text.

    Args:
        raw: its bytes.
        where: its file, for messages and for its kind.
        has_header: whether a first line is a header, given its cells and the first rows after it.

    Raises:
        InputError: it is empty, no text, or not a table.
    """
    text, encoding = decode(raw, where)
    text = _PREAMBLE.sub(lambda found: "\n" * found[0].count("\n"), text, count=1)
    separator = _separator(text)
    first, *following = [*islice(_lines(text, separator, where), _SNIFFED)] or [Row(1, ())]
    if not any(first.cells) or (not following and not any(map(looks_like_a_path, first.cells))):
        raise InputError(
            "the table is empty",
            where=f"{where}, line 1",
            expected="a header such as path,label, then a line for each image",
        )
    if len(first.cells) > MOST_COLUMNS:
        raise InputError(
            "the table has too many columns", where=f"{where}, line 1", expected=MOST_COLUMNS
        )
    header = has_header(first.cells, following)
    if header and following and all(len(row.cells) == len(first.cells) + 1 for row in following):
        first = Row(first.line, ("", *first.cells))  # R writes no name for the column of row names
    columns = tuple(
        escape(name) if header and name else f"column {number}"
        for number, name in enumerate(first.cells, 1)
    )

    def rows() -> Iterator[Row]:
        lines = _lines(text, separator, where)
        for row in islice(lines, int(header), None):
            yield _fit(row, len(columns), where)

    kind = {",": "CSV", "\t": "TSV"}.get(separator, "text")
    form = f"{kind} separated by {_NAMES[separator]}" if len(columns) > 1 else "a list"
    told = [form, encoding, "" if header else "no header"]
    return Table(", ".join(filter(None, told)), where, columns, rows)


def looks_like_a_path(cell: str) -> bool:
    """Return whether a cell ends like an image."""
    return _ENDS_LIKE_AN_IMAGE.fullmatch(cell) is not None


def _separator(text: str) -> str:
    head = text[: 1 << 16]
    scores = {separator: _score(head, separator) for separator in _NAMES}
    best = max(scores, key=lambda separator: scores[separator])
    return best if scores[best][0] else ","


def _score(head: str, separator: str) -> tuple[float, ...]:
    """Return how well a separator cuts the first lines: (usable, equal widths, paths or names, width)."""
    try:
        lines = islice(_lines(head, separator, Path(), strict=False), _SNIFFED)
        rows = [row.cells for row in lines]
    except InputError:
        return (0.0,)
    if len(rows) > 2 and len(head) == 1 << 16:
        rows.pop()  # it may be cut off
    if not rows or len(rows[0]) < 2:
        return (0.0,)
    first, *following = map(len, rows)
    shorter = len(following) > 1 and all(width == first + 1 for width in following)
    equal = 1.0 if shorter else sum(len(cells) == first for cells in rows) / len(rows)
    known = any(squeeze(cell) in PATHS | LABELS for cell in rows[0])
    paths = sum(any(map(looks_like_a_path, cells)) for cells in rows) / len(rows)
    return (float(equal > 0.5), round(max(paths, known), 1), equal, separator != " ", len(rows[0]))


def _lines(text: str, separator: str, where: Path, *, strict: bool = True) -> Iterator[Row]:
    """Read the lines that are not blank."""
    if separator == " ":
        for number, line in enumerate(text.splitlines(), 1):
            alone = (
                number == 1 and line.strip().isdecimal()
            )  # CelebA begins with the number of lines
            if line.strip() and not line.startswith("#") and not alone:
                yield Row(number, tuple(_by_spaces(line.strip())))
        return
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=strict
    )
    try:
        for cells in reader:
            if any(cells):
                yield Row(reader.line_num, tuple(cell.strip() for cell in cells))
    except csv.Error as error:
        _refuse(where, reader.line_num, "not a line of CSV", error)


def _by_spaces(line: str) -> list[str]:
    """Cut a line of a list: the path to its ending, then numbers one by one or a label as a whole.

    >>> _by_spaces("my cats/1 b.jpg 3"), _by_spaces("Abyssinian_100 1 1 1"), _by_spaces("a.png red fox")
    (['my cats/1 b.jpg', '3'], ['Abyssinian_100', '1', '1', '1'], ['a.png', 'red fox'])
    """
    if line.startswith('"') and line.count('"') >= 4:
        return next(csv.reader([line], delimiter=" ", skipinitialspace=True))
    if found := _NUMBER_AND_PATH.fullmatch(line):
        return list(found.groups())
    if found := _QUOTED_PATH.fullmatch(line) or _PATH_AND_REST.fullmatch(line):
        *_, path, rest = found.groups()
        tokens = rest.split()
        return [path, *tokens] if all(map(_SIGNED.fullmatch, tokens)) else [path, rest]
    tokens = line.split()
    numbers = len(tokens) > 2 and all(map(_SIGNED.fullmatch, tokens[1:]))
    return tokens if numbers else line.rsplit(None, 1)


def _fit(row: Row, width: int, where: Path) -> Row:
    """Return a row of as many cells as there are columns; a separator too many at its end is forgiven."""
    line, cells = row
    if len(cells) > width and not any(cells[width:]):
        cells = cells[:width]
    if len(cells) != width:
        _refuse(where, line, f"{len(cells)} cells instead of {width}", ",".join(cells))
    return Row(line, cells)


def _refuse(where: Path, line: int, what: str, found: object) -> NoReturn:
    raise InputError(
        what, where=f"{where}, line {line}", found=escape(str(found)), fix="correct the line"
    )
