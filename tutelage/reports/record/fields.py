"""Reading JSON and text: every refusal names the file and the field."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from tutelage.errors import InputError
from tutelage.storage.checksums import read_sealed
from tutelage.storage.json_files import parse_json, read_file
from tutelage.storage.run_results import job_fix

LARGEST_TEXT = 256 << 20


class Fields:
    """A JSON object read field by field; what is missing or mistyped is named with its file."""

    def __init__(self, table: Mapping[str, object], where: Path, path: str = "") -> None:
        self.plain = table
        self.where = where
        self.path = path

    def number(self, key: str) -> float:
        """A number; NaN and infinity are kept, so that a diverged run can still be shown."""
        value = self.plain.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise self._refuse(key, value, "a number")

    def optional_number(self, key: str) -> float | None:
        """A number, or None when the field is absent or null."""
        return None if self.plain.get(key) is None else self.number(key)

    def integer(self, key: str) -> int:
        """A whole number."""
        value = self.plain.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._refuse(key, value, "a whole number")

    def optional_integer(self, key: str) -> int | None:
        """A whole number, or None when the field is absent or null."""
        return None if self.plain.get(key) is None else self.integer(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A string; the default, where there is one, stands for an absent or null field."""
        value = self.plain.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str):
            return value
        raise self._refuse(key, value, "a string")

    def table(self, key: str) -> "Fields":
        """An object inside this one."""
        value = self.plain.get(key)
        if isinstance(value, Mapping):
            return Fields(value, self.where, f"{self.path}{key}.")
        raise self._refuse(key, value, "an object")

    def optional_table(self, key: str) -> "Fields | None":
        """An object inside this one, or None when absent or null."""
        return None if self.plain.get(key) is None else self.table(key)

    def tables(self, key: str) -> Iterator["Fields"]:
        """A list of objects."""
        for index, item in enumerate(self.items(key)):
            if not isinstance(item, Mapping):
                raise self._refuse(f"{key}[{index}]", item, "an object")
            yield Fields(item, self.where, f"{self.path}{key}[{index}].")

    def items(self, key: str) -> list[object]:
        """A list of anything."""
        value = self.plain.get(key)
        if isinstance(value, list):
            return value
        raise self._refuse(key, value, "a list")

    def _refuse(self, key: str, value: object, expected: str) -> InputError:
        found = "nothing" if value is None else f"{value!r:.80}"
        return InputError(
            f"{self.path}{key} cannot be read", where=self.where, found=found, expected=expected
        )


def read_sealed_json(path: Path) -> Fields:
    """A sealed file of a job folder.

    Raises:
        InputError: it is missing, or is not what was written.
    """
    require_file(path)
    return Fields(read_sealed(path, kind="a job", fix=job_fix(path.parent)), path)


def json_lines(text: str, path: Path) -> Iterator[Fields]:
    """One JSON object a line of the text that is in a file."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Fields(parse_json(line, path, finite=False), path, f"line {number}: ")


def read_text(path: Path) -> str:
    """A UTF-8 file; stray bytes, as in old file names, become lone surrogates.

    Raises:
        InputError: it is missing or unreadable.
    """
    require_file(path)
    return read_file(path, largest=LARGEST_TEXT).decode("utf-8", "surrogateescape")


def require_file(path: Path) -> None:
    """Refuse a folder without a file that a finished one has.

    Raises:
        InputError: the file is missing.
    """
    if not path.exists():
        raise InputError(
            f"{path.name} is missing: the folder is not complete",
            where=path,
            expected="a finished run or job folder",
            fix="finish it first (the same command continues where it stopped)",
        )


def strict(value: object) -> object:
    """The same JSON value with NaN and infinity as null, which strict readers accept."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value
