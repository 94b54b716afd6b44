"""Recipes: named settings of whole jobs, one TOML file each, beside the package or the user's own."""

from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config import build
from tutelage.errors import UsageError, suggest
from tutelage.settings import Job
from tutelage.toml import read_toml

FOLDER = Path(__file__).parent / "recipes"


class Recipe(NamedTuple):
    """name; comment: its opening lines (command, expected result, hardware, time); table: its settings."""

    name: str
    comment: str
    table: dict[str, Any]


def recipe_names() -> list[str]:
    """The names of the recipes that come with Tutelage."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """A recipe by name, or by the path of a TOML file (a run's config.toml is one).

    Raises:
        UsageError: no such recipe or file, or not TOML.
    """
    path = FOLDER / f"{name}.toml" if name in recipe_names() else Path(name)
    if not path.is_file():
        raise UsageError(
            f"no such recipe: {name}",
            expected=suggest(name, recipe_names()) + "; or the path of a TOML file",
            fix="tutelage recipes",
        )
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return Recipe(path.stem, "\n".join(comment), read_toml(path))


def recipe(name: str) -> Job:
    """The settings of a recipe, ready to be given to `tutelage.run` or changed with `dataclasses.replace`.

    >>> recipe("resnet34-resnet18").student.epochs
    50
    """
    return build(Job, read_recipe(name).table, where=name)
