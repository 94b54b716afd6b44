"""Tables of JSON: one object a line, as Hugging Face's `metadata.jsonl`, or one list of objects."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tutelage.data.readers.tables.encoding import decode
from tutelage.data.readers.tables.table import MOST_COLUMNS, Row, Table, cell_text
from tutelage.errors import InputError
from tutelage.text import escape


def read_json_lines(raw: bytes, where: Path) -> Table:
    """Read a table of JSON objects; columns are their keys.

    Raises:
        InputError: a line is no JSON object; the message names it.
    """
    text, encoding = decode(raw, where)
    whole = text.lstrip()[:1] == "["

    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        if whole:
            yield from enumerate(_load(text, where, 1, list), 1)
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, _load(line, where, number, dict)

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

    told = "a list of JSON objects" if whole else "JSON lines"
    columns = tuple(map(escape, keys))
    unit = "object" if whole else "line"
    return Table(", ".join(filter(None, [told, encoding])), where, columns, rows, unit)


def _load(text: str, where: Path, number: int, kind: type[Any]) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_object(where, number, error) from error
    if not isinstance(value, kind):
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
