"""Build settings, which are frozen dataclasses, from recipes (TOML) and flags, and check them.

A setting is a dataclass field: its name, type, default, range and docstring make the flag, its help, the
TOML key and the Python argument. Unknown keys are rejected with a suggestion.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import operator
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tutelage.config.renamed import renamed_to, renamed_value
from tutelage.errors import UsageError, suggest

T = TypeVar("T")
_ADDED = "added"


def setting(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    added: bool = False,
) -> Any:
    """Declare a field with a range, which `validate` checks unless the value is None.

    A setting that was `added` to those of an earlier version is left out of tables while it has its default,
    so that files, keys and fingerprints are what they were before it existed.
    """
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    metadata: dict[str, Any] = {k: v for k, v in bounds.items() if v is not None}
    return dataclasses.field(default=default, metadata=metadata | ({_ADDED: True} if added else {}))


def bounds_of(field: "dataclasses.Field[Any]") -> dict[str, float]:
    """Return the declared range of a field's numbers."""
    return {word: bound for word, bound in field.metadata.items() if word != _ADDED}


def is_added_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    """Return whether a value is the default of a setting that was added to those of an earlier version."""
    return bool(field.metadata.get(_ADDED)) and value == field.default


def validate(settings: Any, path: str = "") -> None:
    """Require every number in a settings object to be finite and in its declared range.

    Raises:
        UsageError: a number is not, or a text stands where several values are expected.
    """
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            validate(value, f"{name}.")
            continue
        if isinstance(value, str) and isinstance(field.default, tuple):
            raise UsageError(f"{name} takes several", found=value, fix=f"{name}=({value!r},)")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                check_range(name, number, bounds_of(field))


def check_range(name: str, number: float, bounds: Mapping[str, float]) -> None:
    """Require a number to be finite and in the range of the setting of that name.

    Raises:
        UsageError: it is not.
    """
    holds = {
        "at least": lambda bound: number >= bound,
        "above": lambda bound: number > bound,
        "at most": lambda bound: number <= bound,
        "below": lambda bound: number < bound,
    }
    finite = isinstance(number, int) or math.isfinite(number)
    if not finite or not all(holds[word](bound) for word, bound in bounds.items()):
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items())
        raise UsageError(
            f"{flag(name)} is out of range",
            found=number,
            expected=wanted or "a finite number",
            fix=f"{flag(name)} with a number in that range",
        )


def flag(path: str) -> str:
    """Return the command-line spelling of a setting's dotted path.

    >>> flag("student.batch_size")
    '--student.batch-size'
    """
    return "--" + path.replace("_", "-")


def build(cls: type[T], table: Mapping[str, Any], *, where: str) -> T:
    """Build a settings object from a plain table such as a parsed TOML file; missing keys are defaults.

    Raises:
        UsageError: a key is unknown, or a value has another type or is out of range.
    """
    built = _replace(cls(), table, where, "")
    validate(built)
    return built


def _replace(default: T, table: Mapping[str, Any], where: str, path: str) -> T:
    hints = get_type_hints(type(default))
    group = path.rstrip(".").rpartition(".")[2]
    values = {}
    for key, value in table.items():
        if key not in hints:
            name = renamed_to(key, group)
            fix = f"it is called {path}{name} now" if name in hints else suggest(key, hints)
            raise UsageError(f"no such setting: {path}{key}", where=where, fix=fix)
        inner = without_none(hints[key])
        if dataclasses.is_dataclass(inner) and isinstance(value, Mapping):
            current = getattr(default, key)
            base = current if current is not None else inner()  # type: ignore[operator]
            values[key] = _replace(base, value, where, f"{path}{key}.")
        else:
            values[key] = convert(inner, value, where, path + key)
    return dataclasses.replace(default, **values)  # type: ignore[type-var]


def without_none(hint: Any) -> Any:
    """Return the type X of `X | None`: a key that is present has a value."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not types.NoneType]
        return functools.reduce(operator.or_, parts)
    return hint


def convert(hint: Any, value: Any, where: str | None, path: str) -> Any:
    """Convert a value of a table to the type of its setting; `where` and `path` are for messages.

    Raises:
        UsageError: it has another type, or is not one of the choices.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        if name := renamed_value(path, value):
            raise UsageError(f"{path}: {value} is called {name} now", where=where)
        expected = suggest(str(value), arguments)
        raise UsageError(f"{path} has no such choice", where=where, found=value, expected=expected)
    if origin is tuple:
        if isinstance(value, str):
            value = [value]  # one of several names
        variadic = arguments[-1] is Ellipsis
        if isinstance(value, list | tuple) and (variadic or len(value) == len(arguments)):
            kinds = [arguments[0]] * len(value) if variadic else arguments
            return tuple(
                convert(kind, item, where, path) for kind, item in zip(kinds, value, strict=True)
            )
    elif origin is dict and isinstance(value, Mapping):
        return {
            str(key): convert(arguments[1], item, where, f"{path}.{key}")
            for key, item in value.items()
        }
    elif origin in (Union, types.UnionType):
        plain = tuple(kind for kind in arguments if get_origin(kind) is None)
        if isinstance(value, plain) and (bool in plain or not isinstance(value, bool)):
            return value
        for kind in arguments[len(plain) :]:  # numbers before several of them
            with contextlib.suppress(UsageError):
                return convert(kind, value, where, path)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        too_large = isinstance(value, int) and abs(value) >= 2**1023
        return math.inf if too_large else float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise UsageError(
        f"{path} has the wrong type",
        where=where,
        found=f"{value!r} ({type(value).__name__})",
        expected=_describe(hint),
    )


def _describe(hint: Any) -> str:
    if dataclasses.is_dataclass(hint):
        return "a table"
    return str(hint).replace("<class '", "").replace("'>", "")


def to_table(settings: Any) -> dict[str, Any]:
    """Convert a settings object to a plain table that `build` accepts, without unset (None) keys.

    What `settings.when_unset` gives a meaning is written as what it means.
    """
    result: dict[str, Any] = {}
    meant = settings.when_unset() if hasattr(settings, "when_unset") else {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        value = meant.get(field.name) if value is None else value
        if is_added_default(field, value):
            continue
        if dataclasses.is_dataclass(value):
            result[field.name] = to_table(value)
        elif isinstance(value, Mapping):
            result |= {field.name: dict(value)} if value else {}
        elif value is not None:
            result[field.name] = list(map(_short, value)) if isinstance(value, tuple) else value
    return result


def shared_fields(cls: type[Any], settings: Any) -> dict[str, Any]:
    """Return the values of a settings object for the fields that it shares with a settings class."""
    own = {field.name for field in dataclasses.fields(settings)}
    return {f.name: getattr(settings, f.name) for f in dataclasses.fields(cls) if f.name in own}


def _short(value: Any) -> Any:
    """Write 7800 rather than 7800.0 in a list of sizes; `build` makes it a float again."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def fingerprint(*parts: Any) -> str:
    """Compute a short stable name for settings and inputs: SHA-256 of canonical JSON, 16 hex digits."""
    plain = [to_table(part) if dataclasses.is_dataclass(part) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def flatten(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted paths.

    >>> flatten({"teacher": {"epochs": 5}})
    {'teacher.epochs': 5}
    """
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            result |= flatten(value, f"{path}{key}.")
        else:
            result[path + key] = value
    return result
