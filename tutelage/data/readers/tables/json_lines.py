"""Tables of JSON: one object a line, as Hugging Face's `metadata.jsonl`, or a file of one value."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tutelage.data.readers.tables.encoding import decode
from tutelage.data.readers.tables.json_shapes import objects_of
from tutelage.data.readers.tables.table import MOST_COLUMNS, Row, Table, cell_text
from tutelage.errors import InputError
from tutelage.text import escape


def read_json_lines(raw: bytes, where: Path) -> Table:
    """Read a table of JSON objects; columns are their keys.

    Raises:
        InputError: a line is no JSON object; the message names it.
    """
    text, encoding = decode(raw, where)
    whole = _whole(text, where)

    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        if whole is not None:
            yield from enumerate(whole, 1)
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, _load(line, where, number)

    keys: dict[str, None] = {}
    for number, one in objects():
        if not isinstance(one, dict):
            raise _no_object(where, number, one)
        keys |= dict.fromkeys(one)
        if len(keys) > MOST_COLUMNS:
            raise InputError("the table has too many columns", where=where, expected=MOST_COLUMNS)
    if not keys:
        raise InputError(
            "the table is empty", where=f"{where}, line 1", expected="an object a line"
        )

    def rows() -> Iterator[Row]:
        for number, one in objects():
            yield Row(number, tuple(cell_text(one.get(key)) for key in keys))

    told = "JSON lines" if whole is None else "JSON"
    columns = tuple(map(escape, keys))
    unit = "line" if whole is None else "object"
    return Table(", ".join(filter(None, [told, encoding])), where, columns, rows, unit)


def _whole(text: str, where: Path) -> list[Any] | None:
    """Return the objects of a file that is one value; None: it has an object a line."""
    if text.lstrip()[:1] != "[":
        try:
            _load(text.lstrip().partition("\n")[0], where, 1)
        except InputError:
            pass  # the first line is no object: the file may be one
        else:
            if where.suffix.lower() != ".json" or len(text.split("\n", 2)) > 2:
                return None
    try:
        objects = objects_of(json.loads(text))
    except (ValueError, RecursionError) as error:
        if where.suffix.lower() != ".json" and text.lstrip()[:1] != "[":
            return None  # the line that is wrong will be named
        raise _no_object(where, 1, error) from error
    if objects is None:
        raise _no_object(where, 1, text)
    return objects


def _load(text: str, where: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_object(where, number, error) from error
    if not isinstance(value, dict):
        raise _no_object(where, number, text)
    return value


def _no_object(where: Path, number: int, found: object) -> InputError:
    return InputError(
        "not a JSON object",
        where=f"{where}, line {number}",
        found=escape(str(found)),
        expected='one object a line, such as {"file_name": "1.jpg", "label": "cat"}',
        fix="correct the line",
    )
