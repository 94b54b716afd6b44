"""Settings as TOML text and back. What is written here is plain enough to need no library."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import UsageError

LARGEST = 1 << 20


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a table; a byte-order mark is allowed.

    Raises:
        UsageError: it cannot be read, is not TOML (the line is named), or is larger than 1 MiB.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            raise UsageError(
                "the file is too large for settings", where=path, found=f"{len(raw)} bytes"
            )
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise UsageError("cannot read the file", where=path, found=error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError("not a TOML file", where=path, found=error) from error


def to_toml(table: Mapping[str, Any], path: str = "") -> str:
    """A table of strings, numbers, booleans, lists of them and further tables as TOML.

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
    # JSON's strings, numbers and booleans are TOML's too, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
