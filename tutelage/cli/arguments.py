"""What the verbs share on the command line: their arguments, and how defaults, recipe and flags meet.

Defaults <- `--recipe` <- flags; the last one wins. Everything passes the checks of `tutelage.config.schema`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, Parameter
from cyclopts.config import Dict

from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.recipes import read_recipe
from tutelage.config.schema import build, to_table
from tutelage.errors import UsageError

SHORT = {
    "--temperature": "--losses.kd.temperature",
    "--image-size": "--data.image-size",
    "--splits": "--data.splits",
    "--split": "--data.split",
}
"""Flags of the field's own names, and the settings they are short for."""

Settings = Parameter(name="*", consume_multiple=True)
DataArgument = Annotated[
    str,
    Parameter(
        help="A folder, CSV, zip or pack of images, `sample`, or a known data set (cifar10, stl10, ...)."
    ),
]
Out = Annotated[
    Path | None,
    Parameter(help="Folder for the result: new, or of the same command. Default: runs/..."),
]
Recipe = Annotated[
    str | None,
    Parameter(help="Named settings to begin with (see `tutelage recipes`), or a TOML file."),
]
Resume = Annotated[bool, Parameter(help="Continue the same command where it was interrupted.")]
Plugin = Annotated[
    Path | None,
    Parameter(help="A Python file with terms of your own; it is run. Never read from a recipe."),
]
Quiet = Annotated[bool, Parameter(help="Print the result only.")]


def expand_alias(token: str) -> str:
    """A short flag as the setting it is short for; anything else as it is."""
    name, equals, value = token.partition("=")
    return SHORT.get(name, name) + equals + value


def defaults(verb: str, tokens: Sequence[str]) -> Any:
    """Defaults and recipe as one table below the flags."""
    kinds: dict[str, type[DistillConfig | TrainConfig]] = {
        "run": DistillConfig,
        "sweep": DistillConfig,
        "train": TrainConfig,
        "distill": TrainConfig,
    }
    kind = kinds.get(verb)
    if kind is None or "--help" in tokens or "-h" in tokens:
        return lambda *_: None
    name = _value_of("--recipe", tokens)
    settings: DistillConfig | TrainConfig = build(
        kind, read_recipe(name).table if name else {}, where=name or ""
    )
    return Dict(to_table(settings), use_commands_as_keys=False, source=name or "defaults")


def _value_of(flag: str, tokens: Sequence[str]) -> str | None:
    for index, token in enumerate(tokens):
        if token == flag and index + 1 < len(tokens):
            return tokens[index + 1]
        if token.startswith(f"{flag}="):
            return token.partition("=")[2]
    return None


def require_whole_numbers(_app: App, _verb: Any, arguments: ArgumentCollection) -> None:
    """Refuse `--seed 1.5`: a whole number is never rounded out of something else."""
    for argument in arguments:
        for token in argument.tokens:
            if argument.hint in (int, int | None) and not token.value.lstrip("+-").isdigit():
                raise UsageError(f"{argument.name} wants a whole number", found=token.value)
