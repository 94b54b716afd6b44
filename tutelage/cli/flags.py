"""From the words of a command to its settings.

Defaults <- `--recipe` <- short names <- dotted flags: the last one wins, in whatever order they are typed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from tutelage.cli.everyday import LOSS, PAGES, TEMPERATURE
from tutelage.cli.flag_values import read_custom, read_one, read_setting
from tutelage.cli.near_flags import no_such_flag
from tutelage.cli.objective import objective_table, temperature_path
from tutelage.config.data import DataConfig
from tutelage.config.image_size import ImageSize
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.listing import Setting, list_settings
from tutelage.config.recipes import OBJECTIVE, lay_over, read_recipe
from tutelage.config.schema import build, flag
from tutelage.errors import UsageError

CUSTOM = "--custom."


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """The settings of `pack` and `check`."""

    data: DataConfig = field(default_factory=DataConfig)


_CLASSES: Mapping[str, type[Any]] = {"job": DistillConfig, "run": TrainConfig, "data": PackConfig}


class Flags(NamedTuple):
    """The flags of a verb."""

    own: frozenset[str]
    """Those that are no settings."""

    short: Mapping[str, tuple[str, ...]]
    """Short names, with the dotted paths that each is short for."""

    dotted: Mapping[str, Setting]
    """A flag for each setting."""

    @property
    def names(self) -> list[str]:
        """All of them; the nearest to a misspelt one is looked for in this order."""
        return [*sorted(self.own), *self.short, *self.dotted]

    def setting(self, name: str) -> Setting | None:
        """The setting that takes a flag's value; of a short name for several, the first."""
        if name in self.dotted:
            return self.dotted[name]
        return self.dotted.get(flag(self.short[name][0])) if name in self.short else None


def flags_of(verb: str) -> Flags:
    """The flags of a verb that has a page."""
    page = PAGES[verb]
    dotted = {
        flag(path): setting for path, setting in list_settings(_CLASSES[page.settings]).items()
    }
    listed = [line for lines in page.groups.values() for line in lines]
    short = {line.name: line.sets for line in listed if line.sets}
    own = {line.name for line in listed if line.name.startswith("--")} - {*short, *dotted}
    return Flags(frozenset(own), short, dotted)


def read_command(verb: str, tokens: Sequence[str]) -> tuple[list[str], Any]:
    """Take the settings out of a command.

    Returns:
        The words that are left (the verb, its data, its own flags), and the settings.

    Raises:
        UsageError: no such flag, recipe or loss, or a value that is none of the setting's.
    """
    flags = flags_of(verb)
    words, given = _split(verb, tokens, flags)
    recipe = value_of("--recipe", words)
    table = read_recipe(recipe).table if recipe else {}
    above = _table_of(given, flags)
    if LOSS in given:
        table = {key: value for key, value in table.items() if key not in OBJECTIVE}
        chosen = read_one(LOSS, given[LOSS])
        plugin = value_of("--plugin", words) is not None
        above = lay_over(
            objective_table(chosen, alpha=above.pop("alpha", None), plugin=plugin), above
        )
    table = _without_none(lay_over(table, above))
    kind = _CLASSES[PAGES[verb].settings]
    settings = build(kind, table, where=recipe or "")
    if TEMPERATURE in given:
        path = temperature_path(settings)
        if flag(path) not in given:
            value = read_setting(flags.dotted[flag(path)], TEMPERATURE, given[TEMPERATURE])
            settings = build(kind, lay_over(table, _nested(path, value)), where=recipe or "")
    return words, settings


def value_of(name: str, tokens: Sequence[str]) -> str | None:
    """The value of a flag among the words of a command; None: it is not there."""
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token == name:
            return after
        if token.startswith(f"{name}="):
            return token.partition("=")[2]
    return None


def _split(
    verb: str, tokens: Sequence[str], flags: Flags
) -> tuple[list[str], dict[str, list[str]]]:
    """Part the words that are no settings from the flags that are, with the values of each."""
    words: list[str] = []
    given: dict[str, list[str]] = {}
    at = 0
    while at < len(tokens):
        token, at = tokens[at], at + 1
        name, equals, value = token.partition("=")
        if token == "--":  # only words after it
            return [*words, *tokens[at - 1 :]], given
        if not name.startswith(CUSTOM):
            name = name.replace("_", "-")
        if not token.startswith("--") or name in flags.own:
            words.append(token)
            continue
        setting = flags.setting(name)
        values = [value] if equals else _values(tokens[at:], setting)
        if not (setting or name in flags.short or name.startswith(CUSTOM)):
            raise no_such_flag(verb, name, values, flags.names)
        if name in given and not (setting and setting.size is None):
            raise UsageError(
                f"{name} is given twice",
                found=" and ".join(given[name] + values),
                fix="one of them",
            )
        given[name] = given.get(name, []) + values
        at += 0 if equals else len(values)
    return words, given


def _values(after: Sequence[str], setting: Setting | None) -> list[str]:
    """The values of a flag among the words after it."""
    found = list(takewhile(lambda token: not token.startswith("--"), after))
    if setting and setting.kind is bool:
        return found[:1] if found[:1] in (["true"], ["false"]) else []
    if setting and setting.kind == ImageSize:  # one number or two; a folder may follow
        return found[:1] + [
            word for word in found[1:2] if word.isdecimal() and found[0].isdecimal()
        ]
    return found[: setting.size] if setting else found[:1]


def _table_of(given: Mapping[str, list[str]], flags: Flags) -> dict[str, Any]:
    """The settings that flags give, dotted flags over short ones."""
    short: dict[str, Any] = {}
    dotted: dict[str, Any] = {}
    for name, texts in given.items():
        if name.startswith(CUSTOM):
            dotted = lay_over(dotted, _nested(*read_custom(name, texts)))
        elif name in flags.dotted:
            value = read_setting(flags.dotted[name], name, texts)
            dotted = lay_over(dotted, _nested(flags.dotted[name].path, value))
        elif (setting := flags.setting(name)) and name != TEMPERATURE:
            for path in flags.short[name]:
                short = lay_over(short, _nested(path, read_setting(setting, name, texts)))
    return lay_over(short, dotted)


def _nested(path: str, value: Any) -> dict[str, Any]:
    """A table of one value.

    >>> _nested("student.lr", 0.1)
    {'student': {'lr': 0.1}}
    """
    for name in reversed(path.split(".")):
        value = {name: value}
    return value  # type: ignore[no-any-return]


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table without what a flag has unset."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
