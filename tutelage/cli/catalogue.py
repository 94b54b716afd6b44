"""`tutelage losses` and `tutelage methods`: what can be taught and by whom, and all about one of them."""

import dataclasses
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any

from cyclopts import Parameter

from tutelage.config.schema import flag
from tutelage.errors import UsageError, suggest

KINDS = {
    "response": "what the logits say",
    "feature": "what happens inside",
    "relation": "how things relate",
}
"""What each kind of knowledge looks at; the kinds are folders of `tutelage/losses`."""


def losses(name: str = "", /) -> str:
    """The terms an objective is made of; with a name: its formula, source, settings and recipes."""
    from tutelage.config.objective import settings_classes

    types = settings_classes()
    if name:
        wanted = name.replace("-", "_")
        if wanted not in types:
            raise UsageError(
                f"no such term: {name}", expected=suggest(name, types), fix="tutelage losses"
            )
        return "\n".join(_about(wanted, types[wanted]))
    lines = []
    for kind, looks_at in KINDS.items():
        members = {
            term: cls for term, cls in types.items() if cls.__module__.split(".")[-1] == kind
        }
        lines += [f"{kind}: {looks_at}", *(_line(*member) for member in members.items()), ""]
    lines.append(
        "Weights are those of the total where a recipe says nothing else: --losses.NAME.weight."
    )
    lines.append("One of them in full: tutelage losses NAME. Ready objectives: tutelage recipes.")
    return "\n".join(lines)


Pairs = Annotated[
    bool, Parameter(help="Which terms can be used under each method, or under the named one.")
]


def methods(name: str = "", /, *, terms: Pairs = False) -> str:
    """Who can teach whom; with a name: its source, settings and what terms hear under it."""
    from tutelage.methods.registry import METHODS

    chosen = [method for method in METHODS if name in ("", method)]
    if not chosen:
        raise UsageError(
            f"no such method: {name}", expected=suggest(name, METHODS), fix="tutelage methods"
        )
    if terms:
        from tutelage.methods.compatibility import compatibility_table

        return compatibility_table(chosen)
    if not name:
        lines = []
        for family in ("offline", "online", "self"):
            members = [(key, about) for key, about in METHODS.items() if about.family == family]
            lines += [f"{family}:", *(f"  {key:14}{about.line}" for key, about in members), ""]
        lines.append("Use one with --method NAME; one in full: tutelage methods NAME.")
        lines.append("Which terms can be used under which method: tutelage methods --losses.")
        return "\n".join(
            [*lines, "With its published settings: --recipe demo+NAME (tutelage recipes)."]
        )
    found = METHODS[chosen[0]]
    heard = "features and logits" if found.hears == "features" else "logits alone"
    lines = [f"{name}: {found.line}", f"source: {found.source}", f"family: {found.family}"]
    lines.append(f"terms hear: {heard} of who teaches")
    lines.append(f"a finished teacher: {'needed' if found.taught else 'not needed'}")
    lines.append("runs: a plan of several (tutelage run)" if found.planned else "runs: one")
    return "\n".join([*lines, *_method_settings(name)])


def _method_settings(name: str) -> Iterator[str]:
    from tutelage.config.methods import MethodOptions

    own = MethodOptions.__dataclass_fields__.get(name)
    if own is None:
        return
    settings = getattr(MethodOptions(), name)
    yield f"\n{inspect.getdoc(type(settings))}"
    yield f"\nSettings (in a recipe below [methods.{name}])\n"
    yield from _flags(f"methods.{name}", type(settings))


def _line(term: str, settings: type) -> str:
    weight = settings().weight  # label and kd share what alpha leaves
    shown = {"label": "1 - alpha", "kd": "alpha"}.get(term) or f"{weight:g}"
    return f"  {term.replace('_', '-'):14}{shown:>10}  {inspect.getdoc(settings)}".replace(
        "\n", " "
    )


def _about(term: str, settings: type) -> Iterator[str]:
    from importlib import import_module

    from tutelage.cli.installation import require_matching

    require_matching()
    from tutelage.losses.registry import term_path

    place, cls = term_path(term)
    module = import_module(place)
    yield f"{term.replace('_', '-')}: {inspect.getdoc(settings)}"
    for function in _functions(module):
        signature = str(inspect.signature(function)).replace("torch.Tensor", "Tensor")
        yield f"\n{function.__name__}{signature}\n\n{inspect.getdoc(function)}"
    yield "\nThe term\n"
    yield str(inspect.getdoc(getattr(module, cls)))
    yield f"\nSettings (in a recipe below [losses.{term}])\n"
    yield from _flags(f"losses.{term}", settings)
    named = [
        name
        for name, table in _objectives()
        if table.get("losses", {}).get(term, {"weight": 0}).get("weight", 1) != 0
    ]
    yield f"\nRecipes: {', '.join(named) or 'none'}"


def _flags(path: str, settings: type) -> Iterator[str]:
    for field in dataclasses.fields(settings):
        shown = "unset" if field.default in (None, ()) else field.default
        yield f"  {flag(f'{path}.{field.name}'):44} {shown}"


def _functions(module: ModuleType) -> list[Any]:
    """The pure functions of a term's file, in its order."""
    return [
        value
        for name, value in vars(module).items()
        if name.endswith("_loss") and inspect.unwrap(value).__module__ == module.__name__
    ]


def _objectives() -> Iterator[tuple[str, dict[str, Any]]]:
    from tutelage.config.recipes import objective_names, read_recipe

    for name in objective_names():
        yield name, read_recipe(name).table
