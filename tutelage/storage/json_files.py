"""Reading what may have been damaged: files that are missing or odd are named, JSON stays within bounds.

JSON is taken where its depth and its numbers are ordinary and no key stands twice.
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
"""Bytes. A pack of a million images that has a hundred thousand bad ones stays below it."""

DEEPEST_JSON = 64
_DIGITS = 32


@contextmanager
def open_bounded(path: Path) -> Iterator[BufferedReader]:
    """A regular file for reading; links to one are followed.

    Raises:
        InputError: there is none, it cannot be read, or it is of another kind.
    """
    with _named(path):
        # Without O_NONBLOCK, opening a pipe waits for its other end.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            if kind := find_irregular(os.fstat(handle).st_mode):
                raise InputError(f"{path.name} cannot be read", where=path, found=kind)
            yield file


def read_file(path: Path, *, largest: int) -> bytes:
    """All of a regular file of at most so many bytes.

    Raises:
        InputError: see `open_bounded`; or it is larger.
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
    """A JSON object. Stray bytes in its text, as in old file names, become lone surrogates.

    Args:
        content: the text.
        where: the file it is from, for messages.
        finite: whether not-a-number and infinity are refused.

    Raises:
        InputError: it is not JSON, its top is no object, a key stands twice, it is nested deeper than 64,
            or a number has more than 32 digits.
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
            raise ValueError(f"its top is no object but {type(found).__name__}")
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
        raise ValueError(f"the key {twice!r:.80} stands twice")
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
    raise ValueError(f"{name} is no number")


def _shallow(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(DEEPEST_JSON):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for some in inner for one in some if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST_JSON}")
