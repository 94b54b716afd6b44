"""`tutelage losses`, `methods` and `models`: what there is, and all about one of them."""

import inspect
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from tutelage.cli.help_page import rows
from tutelage.config.renamed import current_name
from tutelage.errors import UsageError, suggest

KINDS = {
    "response": "logits",
    "feature": "features inside the networks",
    "relation": "relations between layers or between images",
}
"""What each kind of loss compares; the kinds are folders of `tutelage/losses`."""

Name = Annotated[str, Parameter(help="The one to explain")]


def losses(name: Name = "", /) -> str:
    from tutelage.config.objective import settings_classes

    types = settings_classes()
    if name:
        wanted = name.replace("-", "_")
        if wanted not in types:
            raise _no_such("losses", name, types)
        return "\n".join(_about(wanted, types[wanted]))
    lines = []
    for kind, looks_at in KINDS.items():
        members = {
            term: cls for term, cls in types.items() if cls.__module__.split(".")[-1] == kind
        }
        lines += [
            f"{kind}: {looks_at}",
            *rows([_row(*member) for member in members.items()], 26),
            "",
        ]
    lines.append("The number is the default weight in the total: --losses.NAME.weight.")
    lines.append("Choose with --loss NAME+NAME. One in full: tutelage losses NAME.")
    lines.append("With published settings: --recipe demo+NAME (tutelage recipes).")
    return "\n".join(lines)


def methods(
    name: Name = "",
    /,
    *,
    losses: Annotated[
        bool, Parameter(help="A table: which losses each method can use, or the named one")
    ] = False,
) -> str:
    from tutelage.config.methods import MethodOptions
    from tutelage.methods.registry import METHODS

    chosen = [method for method in METHODS if name in ("", method)]
    if not chosen:
        raise _no_such("method", name, METHODS)
    if losses:
        from tutelage.methods.compatibility import compatibility_table

        return compatibility_table(chosen)
    if not name:
        lines = []
        for family in ("offline", "online", "self"):
            members = [(key, about) for key, about in METHODS.items() if about.family == family]
            lines += [f"{family}:", *rows([(key, about.line) for key, about in members], 15), ""]
        lines.append("Use one with --method NAME; one in full: tutelage methods NAME.")
        lines.append("Which losses each can use: tutelage methods --losses.")
        return "\n".join(
            [*lines, "With its published settings: --recipe demo+NAME (tutelage recipes)."]
        )
    found = METHODS[chosen[0]]
    inside = found.signal(MethodOptions()) == "features"
    lines = [f"{name}: {found.line}", f"source: {found.source}", f"family: {found.family}"]
    lines.append(f"losses compare: {'features and logits' if inside else 'logits alone'}")
    lines.append(f"a finished teacher: {'needed' if found.needs_teacher else 'not needed'}")
    lines.append("runs: a plan of several (tutelage run)" if found.several_runs else "runs: one")
    return "\n".join([*lines, *_method_settings(name)])


def models(
    filter: Annotated[str, Parameter(help="Part of a name")] = "",
) -> str:
    from tutelage.cli.installation import require_matching

    require_matching()
    import timm

    import tutelage.models.cifar.names  # noqa: F401  so that timm knows them

    lines = []
    for name in timm.list_models(f"*{filter}*"):
        tags = ", ".join(full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*"))
        lines.append(f"{name:40}{tags}")
    return "\n".join(lines)


def _method_settings(name: str) -> Iterator[str]:
    from tutelage.config.methods import MethodOptions

    key = name.replace("-", "_")
    if settings := getattr(MethodOptions(), key, None):
        yield f"\n{inspect.getdoc(type(settings))}"
        yield f"\nSettings (in a recipe below [methods.{key}])\n"
        yield from _flags(f"methods.{key}", type(settings))


def _no_such(kind: Literal["losses", "method"], name: str, known: Iterable[str]) -> UsageError:
    now = current_name(kind, name)
    hint = f"{name} is called {now} now" if now != name else suggest(name, known)
    one, fix = ("loss", "tutelage losses") if kind == "losses" else (kind, "tutelage methods")
    return UsageError(f"no such {one}: {name}", expected=hint, fix=fix)


def _row(name: str, settings: type) -> tuple[str, str]:
    """A loss with its default weight, and what it does."""
    weight = settings().weight  # label and kd share what alpha leaves
    shown = {"label": "1 - alpha", "kd": "alpha"}.get(name) or f"{weight:g}"
    return f"{name.replace('_', '-'):14}{shown:>9}", " ".join(str(inspect.getdoc(settings)).split())


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
    yield "\nIts class\n"
    yield str(inspect.getdoc(getattr(module, cls)))
    yield f"\nSettings (in a recipe below [losses.{term}])\n"
    yield from _flags(f"losses.{term}", settings)
    named = [
        name
        for name, table in _objectives()
        if table.get("losses", {}).get(term, {"weight": 0}).get("weight", 1) != 0
    ]
    yield f"\nRecipes: {', '.join(named) or 'none'}"


def _flags(path: str, settings: type) -> list[str]:
    from tutelage.cli.settings import setting_rows
    from tutelage.config.listing import list_settings

    return setting_rows(list_settings(settings).values(), f"{path}.")


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
