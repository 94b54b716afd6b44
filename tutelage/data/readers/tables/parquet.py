"""Tables of Parquet files (extra `parquet`), with paths or, as Hugging Face writes them, the images.

    image: {"bytes": ..., "path": "1.jpg"}, label: 3      label names stand in the file's metadata

Nothing is read but the columns that are needed, a row group at a time.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tutelage.data.readers.listing import LARGEST_FILE
from tutelage.data.readers.source import Unreadable
from tutelage.data.readers.tables.table import MOST_COLUMNS, Row, Table, cell_text
from tutelage.errors import InputError, MachineError
from tutelage.text import escape

MOST_ROWS = 10_000_000
LARGEST_GROUP = LARGEST_FILE
"""Bytes of the images of one row group."""
_BATCH = 4096
"""Rows read at once, of columns of text and numbers."""


def read_parquet(path: Path) -> Table:
    """Read a Parquet file.

    Raises:
        InputError: it is damaged, or larger than the bounds.
        MachineError: pyarrow is not installed.
    """
    with _errors(path):
        schema, rows = _open(path).schema_arrow, _open(path).metadata.num_rows
    if rows > MOST_ROWS or len(schema) > MOST_COLUMNS:
        raise InputError(
            "the table is too large",
            where=path,
            found=f"{rows:,} rows, {len(schema):,} columns",
            expected=f"at most {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns",
        )
    if not rows:
        raise InputError("the table is empty", where=path, expected="a row for each image")
    images = [column for column in schema if _holds_images(column)]
    plain = {column.name for column in schema if _is_plain(column.type)} - {c.name for c in images}
    columns = [column.name for column in schema if column in images[:1] or column.name in plain]
    embedded = columns.index(images[0].name) if images else None

    def read_rows() -> Iterator[Row]:
        wanted = [f"{images[0].name}.path" if n == embedded else c for n, c in enumerate(columns)]
        if embedded is not None and "path" not in _inner(images[0]):
            wanted.pop(embedded)
        with _errors(path):
            number = 0
            for batch in _open(path).iter_batches(_BATCH, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(number, tuple(_text(row.get(column)) for column in columns))

    reader = EmbeddedImages(path, images[0].name) if images else None
    told = "Parquet" + (", the images are in it" if images else "")
    names = _class_names(schema.metadata or {})
    return Table(
        told,
        path,
        tuple(map(escape, columns)),
        read_rows,
        "row",
        {escape(column): names[column] for column in columns if column in names},
        embedded,
        reader.read if reader else None,
    )


class EmbeddedImages:
    """The images of a Parquet file; the row group read last is kept, since images are asked for in order."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._lock = threading.Lock()
        self._group: tuple[int, Any] = (0, None)
        """First row after it is the first row plus its length; None: nothing is read yet."""

    def read(self, line: int) -> bytes:
        """Return the bytes of the image of a row, counted from 1.

        Raises:
            Unreadable: there are none, or the file is damaged.
        """
        with self._lock:
            start, values = self._group
            if values is None or not start <= line - 1 < start + len(values):
                start, values = self._group = self._load(line - 1)
            raw = values[line - 1 - start].as_py()
        if not isinstance(raw, bytes):
            raise Unreadable("no image in this row")
        return raw

    def _load(self, row: int) -> tuple[int, Any]:
        """Read the images of the row group that holds a row."""
        import pyarrow.compute as compute

        try:
            with _errors(self._path):
                file, start = _open(self._path), 0
                for group in range(file.num_row_groups):
                    about = file.metadata.row_group(group)
                    if row < start + about.num_rows:
                        if about.total_byte_size > LARGEST_GROUP:
                            raise Unreadable(f"in a row group above {LARGEST_GROUP >> 20} MB")
                        inner = "bytes" in _inner(file.schema_arrow.field(self._column))
                        name = f"{self._column}.bytes" if inner else self._column
                        values = file.read_row_group(group, columns=[name]).column(0)
                        return start, compute.struct_field(values, "bytes") if inner else values
                    start += about.num_rows
        except InputError as error:
            raise Unreadable("the Parquet file is damaged") from error
        raise Unreadable("no such row any more")


def _open(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MachineError(
            "Parquet files need the package pyarrow",
            where=path,
            fix='pip install "tutelage[parquet]"',
        ) from error
    return ParquetFile(path)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises into a message."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError, NotImplementedError, RuntimeError) as error:
        raise InputError(  # pyarrow's errors are subclasses of these
            "not a Parquet file that can be read",
            where=path,
            found=str(error).partition("\n")[0],
            fix="a fresh copy of the file",
        ) from error


def _holds_images(column: Any) -> bool:
    """Return whether a column holds the bytes of images, by themselves or beside their paths."""
    from pyarrow import types

    kind = _inner(column).get("bytes", column.type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _inner(column: Any) -> dict[str, Any]:
    """Return the types of what a column of structures holds, by name."""
    from pyarrow import types

    fields = column.type.fields if types.is_struct(column.type) else ()
    return {field.name: field.type for field in fields}


def _is_plain(kind: Any) -> bool:
    """Return whether a column holds text, numbers, or lists of them; others are never read."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating)
    return types.is_boolean(kind) or any(test(kind) for test in tests)


def _text(value: object) -> str:
    if isinstance(value, dict):  # of an image, only its path was read
        value = value.get("path")
    return cell_text(value)


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the names of each ClassLabel column, from what `datasets` writes beside the schema."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        found = {name: about["names"] for name, about in features.items() if "names" in about}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        str(name): tuple(map(str, names))
        for name, names in found.items()
        if isinstance(names, list)
    }
