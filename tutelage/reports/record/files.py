"""Read the JSON and text files of a job; errors name the file and the field."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tutelage.errors import InputError
from tutelage.reports.wording import plain
from tutelage.storage.checksums import read_sealed
from tutelage.storage.json_files import parse_json, read_file
from tutelage.storage.run_results import job_fix
from tutelage.storage.typed_json import read_record

T = TypeVar("T")
LARGEST_TEXT = 256 << 20


def to_record(cls: type[T], table: Mapping[str, Any], where: Path, path: str = "") -> T:
    """Convert a JSON object as `read_record`; all its texts become safe to print."""
    return read_record(cls, table, where, path, clean=plain)


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Read a sealed file of a job folder.

    Raises:
        InputError: the file is missing or was changed.
    """
    require_file(path)
    return read_sealed(path, kind="a job", fix=job_fix(path.parent))


def json_lines(text: str, path: Path) -> dict[int, dict[str, Any]]:
    """Parse the JSON objects of a text, one a line: line number -> object."""
    lines = enumerate(text.split("\n"), start=1)
    return {number: parse_json(line, path, finite=False) for number, line in lines if line.strip()}


def read_text(path: Path) -> str:
    """Read a UTF-8 file; stray bytes, as in old file names, become lone surrogates.

    Raises:
        InputError: the file is missing or unreadable.
    """
    require_file(path)
    return read_file(path, largest=LARGEST_TEXT).decode("utf-8", "surrogateescape")


def require_file(path: Path) -> None:
    """Raise InputError if a file that every finished folder has is missing."""
    if not path.exists():
        raise InputError(
            f"{path.name} is missing: the folder is not complete",
            where=path,
            expected="a finished run or job folder",
            fix="finish it first (the same command continues where it stopped)",
        )


def strict(value: object) -> object:
    """Replace NaN and infinity in a JSON value by null, for strict JSON readers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value
