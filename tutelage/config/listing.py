"""List the settings of a settings class by dotted path, with what help and documents need of them."""

import ast
import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from tutelage.config.image_size import ImageSize
from tutelage.config.schema import bounds_of, without_none


class Setting(NamedTuple):
    """A field of a settings class, or of a settings class that is a field of it."""

    path: str
    """Field names from the outermost class on, joined by dots."""

    kind: Any
    """Type of its value."""

    optional: bool
    """Whether it may be unset (None)."""

    default: Any
    """Its value if it is not given."""

    bounds: Mapping[str, float]
    """The range of its numbers, as declared by `schema.setting`."""

    owner: type[Any]
    """The settings class that has the field."""

    @property
    def text(self) -> str:
        """The docstring under the field, on one line."""
        return field_texts(self.owner).get(self.name, "")

    @property
    def group(self) -> str:
        """The path of the table that contains it; empty at the top."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values; empty: any value of the type."""
        return tuple(map(str, get_args(self.item))) if get_origin(self.item) is Literal else ()

    @property
    def item(self) -> Any:
        """Type of one value of a setting that takes several."""
        if self.kind == ImageSize:
            return int
        return get_args(self.kind)[0] if get_origin(self.kind) is tuple else self.kind

    @property
    def size(self) -> int | None:
        """Number of values on a command line; None: one or more."""
        if get_origin(self.kind) is not tuple:
            return 1
        kinds = get_args(self.kind)
        return None if kinds[-1] is Ellipsis else len(kinds)


def list_settings(cls: type[Any]) -> dict[str, Setting]:
    """List all settings of a class by dotted path, in the order of declaration.

    >>> from tutelage.config.job import DistillConfig
    >>> list_settings(DistillConfig)["losses.kd.temperature"].bounds
    {'above': 0, 'at most': 1000}
    """
    return {setting.path: setting for setting in _walk(cls(), "")}


def _walk(default: Any, prefix: str) -> Iterator[Setting]:
    hints = get_type_hints(type(default))
    for field in dataclasses.fields(default):
        kind, value = without_none(hints[field.name]), getattr(default, field.name)
        if dataclasses.is_dataclass(kind):
            inner = kind() if value is None else value  # type: ignore[operator]
            yield from _walk(inner, f"{prefix}{field.name}.")
        else:
            yield Setting(
                prefix + field.name,
                kind,
                optional=kind is not hints[field.name],
                default=value,
                bounds=bounds_of(field),
                owner=type(default),
            )


def field_texts(cls: type[Any]) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, including its bases."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if dataclasses.is_dataclass(one):
            found |= _texts_of_module(one.__module__).get(one.__name__, {})
    return found


@functools.cache
def _texts_of_module(name: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[name]))
    return {
        node.name: dict(_texts_of_body(node.body))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def _texts_of_body(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(below.value.value).split())
