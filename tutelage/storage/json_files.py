"""Read files that may be damaged or hostile: bounded in size, regular, and JSON of ordinary shape.

JSON is rejected if it is nested too deeply, has numbers that are too long, or repeats a key.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from tutelage.errors import InputError
from tutelage.storage.safe_paths import find_irregular, read_bounded

LARGEST_JSON = 64 << 20
"""Bytes. The manifest of a pack of a million images with a hundred thousand bad ones is smaller."""

DEEPEST_JSON = 64
_DIGITS = 32


@contextmanager
def open_bounded(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; links are followed.

    Raises:
        InputError: the file is missing, cannot be read, or is not regular.
    """
    with _named(path):
        # Without O_NONBLOCK, opening a pipe waits for its other end.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            if kind := find_irregular(os.fstat(handle).st_mode):
                raise InputError(f"{path.name} cannot be read", where=path, found=kind)
            yield file


def read_file(path: Path, *, largest: int) -> bytes:
    """Read a regular file of at most `largest` bytes.

    Raises:
        InputError: as `open_bounded`, or the file is larger.
    """
    with _named(path):
        return read_bounded(path, largest)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path.name} is missing", where=path) from error
    except IsADirectoryError as error:
        raise InputError(f"{path.name} cannot be read", where=path, found="a folder") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read", where=path, found=error) from error


def parse_json(content: bytes | str, where: Path, *, finite: bool = True) -> dict[str, Any]:
    """Parse a JSON object. Stray bytes, as in old file names, become lone surrogates.

    Args:
        content: the text.
        where: its file, for messages.
        finite: whether NaN and infinity are rejected.

    Raises:
        InputError: the text is not a JSON object, repeats a key, is nested deeper than 64, or has a number
            of more than 32 digits.
    """
    try:
        text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
        found = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_short,
            parse_float=_finite if finite else float,
            parse_constant=_refuse if finite else float,
        )
        if not isinstance(found, dict):
            raise ValueError(f"not an object but {type(found).__name__}")
        _shallow(found)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where.name} is not JSON that can be read", where=where, found=error
        ) from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r:.80} is repeated")
    return table


def _short(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits:.40} is too large")
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _shallow(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(DEEPEST_JSON):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for some in inner for one in some if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST_JSON}")
