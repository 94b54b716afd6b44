"""Recipes: named settings of whole jobs, one TOML file each, from the package or the user."""

from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.job import DistillConfig
from tutelage.config.renamed import current_name
from tutelage.config.schema import build
from tutelage.config.toml import read_toml
from tutelage.errors import UsageError, suggest

FOLDER = Path(__file__).parents[1] / "recipes"
OBJECTIVES = FOLDER / "losses"
"""Recipes of what a student minimises only, to combine with others."""
METHODS = FOLDER / "methods"
"""Recipes of a method and what the student minimises, to combine with others."""
OBJECTIVE = {"alpha", "losses", "custom"}
METHOD = {"method", "methods"}


class Recipe(NamedTuple):
    """A recipe as read from its file."""

    name: str
    comment: str
    """Its first lines: command, expected result, hardware, time."""
    table: dict[str, Any]
    """Its settings."""


def recipe_names() -> list[str]:
    """List the built-in recipes of whole jobs."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def objective_names() -> list[str]:
    """List the built-in recipes of losses."""
    return sorted(path.stem for path in OBJECTIVES.glob("*.toml"))


def method_names() -> list[str]:
    """List the built-in recipes of methods."""
    return sorted(path.stem for path in METHODS.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by name or path of a TOML file (a run's config.toml is one), or several: `demo+crd`.

    Each of several overrides those before it. One with losses or an alpha replaces the whole objective,
    since weights of two objectives make no sense together; one with a method replaces the method and all
    of its settings.

    Raises:
        UsageError: there is no such recipe or file, or it is not TOML.
    """
    if "+" not in name or Path(name).is_file():
        return _read_one(name)
    parts = [_read_one(part) for part in name.split("+")]
    whole: dict[str, Any] = {}
    for part in parts:
        for group in (OBJECTIVE, METHOD):
            if group & part.table.keys():
                whole = {key: value for key, value in whole.items() if key not in group}
        whole = lay_over(whole, part.table)
    return Recipe("+".join(part.name for part in parts), parts[0].comment, whole)


def lay_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge two tables recursively; values of the upper one win."""
    both = {
        key: lay_over(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }
    return {**below, **both}


def _read_one(name: str) -> Recipe:
    places = [folder / f"{name}.toml" for folder in (FOLDER, OBJECTIVES, METHODS)]
    path = next((place for place in places if place.is_file()), Path(name))
    if not path.is_file():
        if (now := current_name("method", current_name("losses", name))) != name:
            raise UsageError(f"no such recipe: {name} is called {now} now")
        raise UsageError(
            f"no such recipe: {name}",
            expected=suggest(name, recipe_names() + objective_names() + method_names())
            + "; or the path of a TOML file",
            fix="tutelage recipes",
        )
    table = read_toml(path)  # its size is checked there
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return Recipe(path.stem, "\n".join(comment), table)


def recipe(name: str) -> DistillConfig:
    """Build the settings of a recipe, for `tutelage.run` or to change with `dataclasses.replace`.

    Examples:
        >>> recipe("resnet34-resnet18").student.epochs
        50
    """
    return build(DistillConfig, read_recipe(name).table, where=name)
