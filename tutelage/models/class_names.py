"""Read the names of classes, in the order of a network's outputs: from an everyday file, or as given."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from tutelage.errors import InputError
from tutelage.storage.atomic import expand_user
from tutelage.storage.json_files import read_file
from tutelage.text import escape

LARGEST_NAMES = 8 << 20
"""Bytes of a file of class names."""
_NAMES = re.compile(
    r"(class|label|category|display)?_?(names?|labels?|class(es)?|categor(y|ies))", re.I
)
_NUMBERED = re.compile(r"(\d+)\s*[:=,;\t ]\s*(.+)")


def read_class_names(given: Sequence[str]) -> tuple[str, ...]:
    """Return the names as given, or those in the file that is given instead.

    A file may be text with a name on each line, a table (CSV, TSV), or JSON: a list, or a table from number
    to name or from name to number. Lines that begin with the numbers 0, 1, 2, ... are put in their order.

    Raises:
        InputError: no names, a name twice, or numbers that are no order.
    """
    path = expand_user(given[0]) if len(given) == 1 else None
    if path is None or not path.is_file():
        if path is not None and (path.suffix or "/" in given[0]):
            raise InputError(
                "no file of class names there",
                where=given[0],
                fix="the names themselves, in their order",
            )
        return _require_names(list(given), "the command")
    text = read_file(path, largest=LARGEST_NAMES).decode("utf-8-sig", "replace")
    try:
        if path.suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
            names = _from_json(json.loads(text))
        elif path.suffix in (".csv", ".tsv"):
            names = _from_table(text)
        else:
            names = _from_lines([line.strip() for line in text.splitlines() if line.strip()])
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            "cannot read the class names",
            where=path,
            found=error,
            expected="a name on each line, in the order of the network's outputs",
        ) from error
    return _require_names(names, path)


def _require_names(names: Sequence[str], where: object) -> tuple[str, ...]:
    twice = (
        sorted({name for name in names if names.count(name) > 1})
        if len(set(names)) < len(names)
        else []
    )
    odd = [name for name in names if name != escape(name) or not name]
    if not names or twice or odd:
        raise InputError(
            "the class names cannot be used",
            where=where,
            found=", ".join([*map(repr, odd[:3]), *twice[:3]]) or "none",
            expected="each class once, in the order of the network's outputs",
        )
    return tuple(names)


def _from_json(found: Any) -> list[str]:
    if isinstance(found, dict):
        inner = [v for k, v in found.items() if _NAMES.fullmatch(k) and isinstance(v, list | dict)]
        maps = [found[key] for key in ("id2label", "idx_to_class", "class_to_idx") if key in found]
        if maps or inner:
            return _from_json((maps or inner)[0])
        if all(type(value) is int for value in found.values()):
            return _ordered([(value, key) for key, value in found.items()])
        return _ordered([(int(key), _name(value)) for key, value in found.items()])
    if not isinstance(found, list):
        raise ValueError("neither a list nor a table of names")
    return [_name(value) for value in found]


def _name(value: Any) -> str:
    """Return the name in a value: itself, or the last of several, as in `["n01440764", "tench"]`."""
    value = value[-1] if isinstance(value, list) and value else value
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{str(value)[:40]} is no name")
    return str(value)


def _from_table(text: str) -> list[str]:
    first = text.partition("\n")[0]
    mark = max("\t;,", key=first.count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=mark)]
    rows = [row for row in rows if any(row)]
    top = rows[0] if rows and not any(cell.isdigit() for cell in rows[0]) else []
    heads = [number for number, cell in enumerate(top) if _NAMES.fullmatch(cell)]
    body = rows[1:] if heads else rows
    numbers = [
        column
        for column in range(len(rows[0]) if rows else 0)
        if column not in heads and all(row[column].isdigit() for row in body)
    ]
    others = [column for column in range(len(rows[0]) if rows else 0) if column not in numbers]
    column = (heads or others or [0])[-1 if heads else 0]
    if numbers and column not in numbers:
        return _ordered([(int(row[numbers[0]]), row[column]) for row in body])
    return [row[column] for row in body]


def _from_lines(lines: list[str]) -> list[str]:
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    found = [(int(match[1]), match[2].strip()) for match in numbered if match]
    if len(found) == len(lines) and sorted(n for n, _ in found) == list(range(len(lines))):
        return _ordered(found)
    return lines


def _ordered(pairs: list[tuple[int, str]]) -> list[str]:
    pairs = sorted(pairs)
    first = pairs[0][0] if pairs else 0
    if first not in (0, 1) or [n for n, _ in pairs] != list(range(first, first + len(pairs))):
        raise ValueError("the numbers of the classes are not 0, 1, 2, ...")
    return [name for _, name in pairs]
