"""Read JSON into typed records: a NamedTuple or TypedDict declares the fields; errors name the field."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from tutelage.errors import InputError

T = TypeVar("T")
Clean = Callable[[str], str]
_NAMES = {
    float: "a number",
    int: "a whole number",
    str: "a string",
    list: "a list",
    tuple: "a list",
}
_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def read_record(
    cls: type[T], table: Mapping[str, Any], where: Path, path: str = "", *, clean: Clean = str
) -> T:
    """Convert a JSON object to a NamedTuple or TypedDict, recursively. Other keys are ignored.

    A missing or null value becomes the field's default; without a default it must be `X | None`. Types of
    fields are str, int, float, bool, object, records, and list, tuple[X, ...] and Mapping of them.

    Args:
        cls: declares the fields.
        table: the object.
        where: its file, for messages.
        path: where the object stands in the file: `last.val.`.
        clean: applied to every text, also to keys of mappings.

    Raises:
        InputError: a field is missing or has another type.

    >>> from typing import NamedTuple
    >>> Point = NamedTuple("Point", [("x", float), ("tags", tuple[str, ...])])
    >>> read_record(Point, {"x": 1, "tags": ["a"], "more": 2}, Path("points.json"))
    Point(x=1.0, tags=('a',))
    """
    values, defaults = {}, getattr(cls, "_field_defaults", {})
    for name, hint in _hints(cls).items():
        value = table.get(name)
        default = value is None and name in defaults
        values[name] = (
            defaults[name] if default else _convert(hint, value, where, path + name, clean)
        )
    return cls(**values)


def _convert(hint: Any, value: Any, where: Path, path: str, clean: Clean) -> Any:
    if get_origin(hint) in (Union, UnionType):
        if value is None and NoneType in get_args(hint):
            return None
        several = [one for one in get_args(hint) if get_origin(one) in (list, tuple)]
        hint = several[0] if several and isinstance(value, list) else get_args(hint)[0]
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if is_typeddict(kind) or hasattr(kind, "_fields"):
        if isinstance(value, Mapping):
            return read_record(kind, value, where, f"{path}.", clean=clean)
    elif kind in (list, tuple):
        if isinstance(value, list):
            if inner[0] is int and set(map(type, value)) <= {int}:  # a confusion matrix is large
                return kind(value)
            return kind(
                _convert(inner[0], item, where, f"{path}[{index}]", clean)
                for index, item in enumerate(value)
            )
    elif kind is Mapping:
        if isinstance(value, Mapping):
            return {
                clean(key): _convert(inner[1], item, where, f"{path}.{key}", clean)
                for key, item in value.items()
            }
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return clean(value) if kind is str else value
    raise InputError(
        f"{path} cannot be read",
        where=where,
        found="nothing" if value is None else f"{value!r:.80}",
        expected=_NAMES.get(kind, "an object"),
    )
