"""Recipes: named settings of whole jobs, one TOML file each, beside the package or the user's own."""

from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.job import DistillConfig
from tutelage.config.schema import build
from tutelage.config.toml import read_toml
from tutelage.errors import UsageError, suggest

FOLDER = Path(__file__).parents[1] / "recipes"
OBJECTIVES = FOLDER / "losses"
"""Recipes that say only what a student minimises, to be put on top of one that says the rest."""
METHODS = FOLDER / "methods"
"""The same for who teaches; they also say what is minimised."""
OBJECTIVE = {"alpha", "losses", "custom"}
METHOD = {"method", "methods"}


class Recipe(NamedTuple):
    """name; comment: its opening lines (command, expected result, hardware, time); table: its settings."""

    name: str
    comment: str
    table: dict[str, Any]


def recipe_names() -> list[str]:
    """The names of the recipes of whole jobs that come with Tutelage."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def objective_names() -> list[str]:
    """The names of the recipes that come with Tutelage and say only what a student minimises."""
    return sorted(path.stem for path in OBJECTIVES.glob("*.toml"))


def method_names() -> list[str]:
    """The names of the recipes that come with Tutelage and say who teaches."""
    return sorted(path.stem for path in METHODS.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """A recipe by name, by the path of a TOML file (a run's config.toml is one), or several: `demo+crd`.

    Of several, each is laid over those before it. One that has terms or an alpha replaces the whole
    objective, since weights of two objectives make no sense side by side; one that has a method replaces
    the method with all its settings.

    Raises:
        UsageError: no such recipe or file, or not TOML.
    """
    if "+" not in name or Path(name).is_file():
        return _read_one(name)
    parts = [_read_one(part) for part in name.split("+")]
    whole: dict[str, Any] = {}
    for part in parts:
        for group in (OBJECTIVE, METHOD):
            if group & part.table.keys():
                whole = {key: value for key, value in whole.items() if key not in group}
        whole = _laid_over(whole, part.table)
    return Recipe("+".join(part.name for part in parts), parts[0].comment, whole)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _laid_over(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }
    return {**below, **both}


def _read_one(name: str) -> Recipe:
    places = [folder / f"{name}.toml" for folder in (FOLDER, OBJECTIVES, METHODS)]
    path = next((place for place in places if place.is_file()), Path(name))
    if not path.is_file():
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
    """The settings of a recipe, ready to be given to `tutelage.run` or changed with `dataclasses.replace`.

    >>> recipe("resnet34-resnet18").student.epochs
    50
    """
    return build(DistillConfig, read_recipe(name).table, where=name)
