"""The names of numbered classes, from a list beside a table: `classes.txt`, `labels.txt`, `obj.names`.

A line is a name; or a number and a name, in either order. A JSON file maps numbers to names.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.data.readers.tables.encoding import decode
from tutelage.data.readers.tables.labels import numbered
from tutelage.errors import InputError
from tutelage.storage.safe_paths import read_bounded

LARGEST_NAMES = 8 << 20
"""Bytes of a file of class names."""
_STEMS = (
    "class(es)?([_ -]?(names?|list|index|labels?))?|labels?([_ -]?(names?|list|map))?|(obj|coco|data)?names"
    "|categor(y|ies)([_ -]?names?)?|synsets?([_ -]?words)?|(idx|id|num|cat)[_ -]?to[_ -]?(class|label|name)s?"
    "|label[_ -]num[_ -]to.*|.*_map|meta[_ -]?classes|wnids"
)
_NAMED = re.compile(rf"(?:{_STEMS})\.(?:txt|names|json|lst)|[^.]*\.names", re.IGNORECASE)
_ENDS_LIKE_AN_IMAGE = re.compile(r"\.(?:jpe?g|png|bmp|gif|webp|tiff?)\b", re.IGNORECASE)
_NUMBER_FIRST = re.compile(r"(\d{1,6})\s*[:,;\t ]\s*(\S.*)")
_NUMBER_LAST = re.compile(r"(.*\S)\s*[:,;\t ]\s*(\d{1,6})")


class ClassNames(NamedTuple):
    """Class names by number, and where they were found."""

    names: Mapping[str, str]
    told: str


def is_list_of_names(path: Path) -> bool:
    """Return whether a file lists classes: it has such a name, and its first lines do not name images."""
    if not _NAMED.fullmatch(path.name):
        return False
    try:
        with path.open("rb") as file:
            return not _ENDS_LIKE_AN_IMAGE.search(file.read(4096).decode("latin-1"))
    except OSError:
        return True


def names_beside(folder: Path, table: Path, numbers: Sequence[int]) -> ClassNames | None:
    """Look for the names of class numbers in a folder.

    Args:
        folder: of the table.
        table: itself, which is no list of names.
        numbers: that the names must cover.

    Returns:
        The names, or None if there is no list, or none that fits.

    Raises:
        InputError: two lists fit, or it is not clear whether a list counts from 0 or from 1.
    """
    fitting = []
    for path in sorted(folder.iterdir()):
        if path != table and path.is_file() and is_list_of_names(path):
            names = _read(path, numbers)
            if names is not None:
                fitting.append(ClassNames(names, f"class names from {path.name}"))
    different = {tuple(sorted(one.names.items())) for one in fitting}
    if len(different) > 1:
        raise InputError(
            "two lists name the classes differently",
            where=folder,
            found=" and ".join(one.told.removeprefix("class names from ") for one in fitting),
            fix="move one of them away",
        )
    return fitting[0] if fitting else None


def _read(path: Path, numbers: Sequence[int]) -> dict[str, str] | None:
    try:
        text = decode(read_bounded(path, LARGEST_NAMES), path).text
    except (OSError, InputError):
        return None  # it is not the data: without names numbers remain
    if path.suffix.lower() == ".json":
        names = _from_json(text)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines or any(map(_ENDS_LIKE_AN_IMAGE.search, lines)):
            return None  # a list of images
        names = _with_numbers(lines) or _by_place(lines, numbers, path)
    covers = names is not None and {str(number) for number in numbers} <= set(names)
    return names if covers else None


def _from_json(text: str) -> dict[str, str] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return numbered(value)
    if not isinstance(value, dict):
        return None
    if all(isinstance(number, int) for number in value.values()):
        value = {str(number): name for name, number in value.items()}
    if all(key.isdecimal() and isinstance(name, str) for key, name in value.items()):
        return {str(int(key)): name for key, name in value.items()}
    return None


def _with_numbers(lines: Sequence[str]) -> dict[str, str] | None:
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        found = [pattern.fullmatch(line) for line in lines]
        names = {str(int(one[number])): one[name] for one in found if one}
        if names and len(names) == len(lines):
            return names
    return None


def _by_place(lines: Sequence[str], numbers: Sequence[int], path: Path) -> dict[str, str] | None:
    low, high = min(numbers), max(numbers)
    if low == 0 and high < len(lines):
        return numbered(lines)
    if low >= 1 and high == len(lines):
        return numbered(lines, 1)
    if low >= 1 and high < len(lines):
        raise InputError(
            "it is not clear whether the class names count from 0 or from 1",
            where=path,
            found=f"{len(lines)} names, class numbers {low} to {high}",
            fix=f"write the number before each name in {path.name}: 0 cat",
        )
    return None
