"""Custom losses: from a Python file that the user names, or from an installed package.

A file, or the object that an entry point of the group `tutelage.terms` names, provides a settings class and
a term class for each name. Recipes and run folders cannot load code: a file must be given to `--plugin` or
`register_losses`, and a package must be installed.
"""

import hashlib
import runpy
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.objective import settings_classes
from tutelage.config.schema import build
from tutelage.errors import UsageError, suggest

GROUP = "tutelage.terms"


class CustomLoss(NamedTuple):
    """A loss defined outside this package."""

    settings: type[WeightedLossConfig]
    term: type[Any]
    """A subclass of `losses.term.Term`; the registry checks it, since settings import no torch."""
    version: str
    """Of the code: another version makes another run."""
    where: str | Path
    """The file or entry point it came from."""


_files: dict[str, CustomLoss] = {}


def register_losses(path: str | Path) -> list[str]:
    """Run a Python file, register the losses in its `TERMS = {name: (Settings, Term)}`, return their names.

    Raises:
        UsageError: the file is missing, fails, or has no losses.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError("no such file of losses", where=path, fix="--plugin with a Python file")
    try:
        offered = runpy.run_path(str(path)).get("TERMS")
    except Exception as error:
        raise UsageError(
            "the file of losses fails", where=path, found=f"{type(error).__name__}: {error}"
        ) from error
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if not isinstance(offered, Mapping) or not offered:
        raise UsageError(
            "the file has no losses", where=path, expected="TERMS = {name: (Settings, Term)}"
        )
    for name, pair in offered.items():
        _files[name] = _pair(name, pair, version, where=path)
    return list(offered)


def custom_loss(name: str) -> CustomLoss:
    """Return a custom loss from a registered file or an installed package.

    Raises:
        UsageError: there is no such loss.
    """
    if name in _files:
        return _files[name]
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        offered = [*_files, *entry_points(group=GROUP).names]
        raise UsageError(
            f"no such custom loss: {name}",
            found=f"custom.{name}",
            expected=suggest(name, offered) if offered else "a file or a package that defines it",
            fix="--plugin FILE",
        )
    entry: EntryPoint = found[0]
    version = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    return _pair(name, entry.load(), version, where=entry.value)


def custom_settings(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, WeightedLossConfig]:
    """Build the settings of custom losses from their tables.

    Raises:
        UsageError: there is no such loss, or it has no such setting.
    """
    return {
        name: build(
            custom_loss(name).settings,
            {key: _number(value) for key, value in table.items()},
            where=f"custom.{name}",
        )
        for name, table in tables.items()
    }


def _number(value: Any) -> Any:
    """Turn the 2.0 of `--custom.NAME.power 2` into 2; `build` makes it a float again if needed."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _pair(name: str, pair: Any, version: str, *, where: str | Path) -> CustomLoss:
    if not isinstance(name, str) or not name.isidentifier() or name in settings_classes():
        raise UsageError(
            "a custom loss has a name that cannot be used",
            where=where,
            found=name,
            expected="letters, digits and _, and not that of a built-in loss",
        )
    settings, term = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)
    if not (
        isinstance(settings, type)
        and isinstance(term, type)
        and issubclass(settings, WeightedLossConfig)
    ):
        raise not_a_pair(name, pair, where)
    return CustomLoss(settings, term, version, where)


def not_a_pair(name: str, found: object, where: str | Path) -> UsageError:
    """Build the error for a custom loss that is not a settings class and a term class."""
    return UsageError(
        f"the custom loss {name} is not a pair of classes",
        where=where,
        found=found,
        expected="(a subclass of WeightedLossConfig, a subclass of Term)",
    )
