"""Terms of the user's own: from a Python file that is named by hand, or from an installed package.

A file, or the object an entry point of the group `tutelage.terms` names, offers a settings class and a
term class for each name. Nothing is loaded because a recipe or a run folder says so: a file must be given
to `--plugin` or `register_losses`, and a package must be installed.
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
    """A loss term defined outside this package.

    settings: dataclass of its settings; term: class below `losses.term.Term`, which the registry checks,
    since settings import no torch; version: of the code, so that runs of another one are others; where: the
    file or entry point it came from.
    """

    settings: type[WeightedLossConfig]
    term: type[Any]
    version: str
    where: str | Path


_files: dict[str, CustomLoss] = {}


def register_losses(path: str | Path) -> list[str]:
    """Run a Python file and take the terms that it offers in `TERMS = {name: (Settings, Term)}`.

    Returns:
        Their names.

    Raises:
        UsageError: no such file, one that fails, or one that offers no terms.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError("no such file of terms", where=path, fix="--plugin with a Python file")
    try:
        offered = runpy.run_path(str(path)).get("TERMS")
    except Exception as error:
        raise UsageError(
            "the file of terms fails", where=path, found=f"{type(error).__name__}: {error}"
        ) from error
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if not isinstance(offered, Mapping) or not offered:
        raise UsageError(
            "the file offers no terms", where=path, expected="TERMS = {name: (Settings, Term)}"
        )
    for name, pair in offered.items():
        _files[name] = _own(name, pair, version, where=path)
    return list(offered)


def custom_loss(name: str) -> CustomLoss:
    """A term of the user's own, from a file that was given or an installed package.

    Raises:
        UsageError: nobody offers it.
    """
    if name in _files:
        return _files[name]
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        offered = [*_files, *entry_points(group=GROUP).names]
        raise UsageError(
            f"nobody offers the term {name}",
            found=f"custom.{name}",
            expected=suggest(name, offered) if offered else "a file or a package that offers it",
            fix="--plugin FILE",
        )
    entry: EntryPoint = found[0]
    version = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    return _own(name, entry.load(), version, where=entry.value)


def custom_settings(own: Mapping[str, Mapping[str, Any]]) -> dict[str, WeightedLossConfig]:
    """The settings of terms of the user's own, from their free tables.

    Raises:
        UsageError: nobody offers a term, or it has no such setting.
    """
    return {
        name: build(
            custom_loss(name).settings,
            {key: _number(value) for key, value in table.items()},
            where=f"custom.{name}",
        )
        for name, table in own.items()
    }


def _number(value: Any) -> Any:
    """2 rather than 2.0, which `--custom.NAME.power 2` gives; `build` makes it a float where one is wanted."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _own(name: str, pair: Any, version: str, *, where: str | Path) -> CustomLoss:
    if not isinstance(name, str) or not name.isidentifier() or name in settings_classes():
        raise UsageError(
            "a term of one's own has a name that cannot be used",
            where=where,
            found=name,
            expected="letters, digits and _, and not that of a built-in term",
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
    """The error for a custom term that is not a settings class and a term class."""
    return UsageError(
        f"the term {name} is not a pair of classes",
        where=where,
        found=found,
        expected="(a dataclass below Weighted, a class below Term)",
    )
