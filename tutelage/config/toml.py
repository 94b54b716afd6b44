"""Read and write settings as TOML. The output is simple enough to need no library."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import InputError, UsageError
from tutelage.storage.safe_paths import read_bounded

LARGEST = 1 << 20
DEEPEST = 16
_EXPECTED = "settings as `tutelage show demo` prints them"
_LONG_NUMBER = re.compile(r"[0-9a-fA-F_]{400}")
_TOKEN = re.compile(r"""[\w-]++|"(?:[^"\\]|\\.)*+"?|'[^']*+'?|.""")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a byte-order mark is allowed.

    Raises:
        UsageError: the file cannot be read, is not TOML (the message names the line), is larger than 1 MiB,
            nested deeper than settings are, or has a whole number beyond 64 bits.
    """
    try:
        raw = read_bounded(path, LARGEST)
    except OSError as error:
        raise UsageError("cannot read the file", where=path, found=error.strerror) from error
    except InputError as error:
        raise UsageError(
            error.what, where=path, found=error.found, expected=error.expected or _EXPECTED
        ) from error
    return parse_toml(raw, path)


def parse_toml(raw: bytes, where: object) -> dict[str, Any]:
    """Parse the bytes of a TOML file; see `read_toml`."""
    try:
        text = raw.decode("utf-8-sig")
        if _LONG_NUMBER.search(
            text
        ):  # Python's time for it, too, grows with the square of its length
            raise ValueError("a number of more than 400 digits")
        if any(map(_has_long_key, text.splitlines())):
            raise ValueError(f"a key of more than {DEEPEST} parts")
        table = tomllib.loads(text)
        _require_modest(table, DEEPEST)
    except (ValueError, RecursionError) as error:
        raise UsageError("not a TOML file", where=where, found=error, expected=_EXPECTED) from error
    return table


def _has_long_key(line: str) -> bool:
    """Return whether a line has a key of too many parts; the parser's time grows with their square."""
    if line.count(".") < DEEPEST:
        return False
    dots, after_part = 0, False
    for token in _TOKEN.findall(line):
        if token == "." and after_part:
            dots, after_part = dots + 1, False
        elif not token.isspace():
            is_part = token[0] in "\"'-_" or token[0].isalnum()
            dots, after_part = (dots if is_part and not after_part else 0), is_part
        if dots >= DEEPEST:
            return True
    return False


def _require_modest(value: Any, deepest: int) -> None:
    if isinstance(value, dict | list):
        if deepest == 0:
            raise ValueError(f"tables nested more than {DEEPEST} deep")
        for item in value.values() if isinstance(value, dict) else value:
            _require_modest(item, deepest - 1)
    elif isinstance(value, int) and value.bit_length() > 64:
        raise ValueError("a whole number of more than 64 bits")


def to_toml(table: Mapping[str, Any], path: str = "") -> str:
    """Write a table of strings, numbers, booleans, lists of them and further tables as TOML.

    >>> print(to_toml({"alpha": 0.7, "data": {"split": [0.8, 0.2]}}), end="")
    alpha = 0.7
    <BLANKLINE>
    [data]
    split = [0.8, 0.2]
    """
    lines = [f"{k} = {_value(v)}\n" for k, v in table.items() if not isinstance(v, Mapping)]
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            lines.append(f"\n[{path}{key}]\n" + to_toml(inner, f"{path}{key}."))
    return "".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON's strings, numbers and booleans are valid TOML, except DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
