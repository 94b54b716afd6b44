"""What to answer where a verb has no such flag: its name of today, or the nearest that there is."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from tutelage.cli.everyday import PAGES, Flag
from tutelage.config.renamed import current_names
from tutelage.config.schema import flag, flatten
from tutelage.errors import UsageError

_MANY = 4
"""So many flags that end alike are no hint."""


def no_such_flag(verb: str, name: str, values: Sequence[str], names: Sequence[str]) -> UsageError:
    """The error for a flag that a verb does not have.

    Args:
        verb: the verb.
        name: the flag.
        values: the words after it.
        names: the flags of the verb.
    """
    for typed in (name, name.replace("--student.", "--")):
        if renamed := _renamed(typed, values[0] if values else "", names):
            return UsageError(renamed)
    if any(one.startswith(f"{name}.") for one in names):
        fix = f"tutelage settings {name.removeprefix('--')}"
        return UsageError(f"{name} is a table of settings", expected="one of them", fix=fix)
    if near := _near(name, names):
        hint = f"did you mean {' or '.join(near)}?"
    else:
        others = " and ".join(f"`{other}`" for other in PAGES if _lines(other, name))
        hint = f"it is a flag of {others}" if others else ""
    fix = f"tutelage {verb} --help; every setting: tutelage settings"
    return UsageError(f"no such flag of `tutelage {verb}`: {name}", expected=hint or None, fix=fix)


def _renamed(name: str, value: str, names: Sequence[str]) -> str | None:
    """What a flag, and its value, of an earlier version is called."""
    nested: Any = value
    path = name.removeprefix("--").replace("-", "_")
    for part in reversed(path.split(".")):
        nested = {part: nested}
    ((now, value_now),) = flatten(current_names(nested)).items()
    if now == path or (flag(now) not in names and not now.startswith("custom.")):
        return None
    if value_now != value:
        name, now = f"{name} {value}", f"{now} {value_now}"
    return f"{name} is called {flag(now)} now"


def _near(name: str, names: Sequence[str]) -> list[str]:
    """Flags that are spelled alike, end alike, or are what a short name of another verb means."""
    stems = {one.removeprefix("--"): one for one in names}
    stem = name.removeprefix("--")
    if found := get_close_matches(stem, stems, n=1, cutoff=0.8):
        return [stems[found[0]]]
    lines = [line for verb in PAGES for line in _lines(verb, name)]
    meant = {path for line in lines for path in line.sets if path.startswith("student.")}
    ends = {_end(one) for one in (stem, *meant)}
    alike = sorted((one for one in names if _end(one) in ends), key=lambda one: one.count("."))
    if 0 < len(alike) < _MANY:
        return alike
    return [stems[one] for one in get_close_matches(stem, stems, n=1, cutoff=0.6)]


def _lines(verb: str, name: str) -> list[Flag]:
    return [line for group in PAGES[verb].groups.values() for line in group if line.name == name]


def _end(name: str) -> str:
    """The last part of a path or flag."""
    return name.removeprefix("--").rpartition(".")[2].replace("_", "-")
