"""The verbs as cyclopts knows them: from words to the arguments of a function, and its call."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cyclopts import App, ArgumentCollection, CycloptsError, MissingArgumentError, Parameter

from tutelage.cli.everyday import PAGES
from tutelage.cli.help_page import argument_page, group_page
from tutelage.cli.verbs import GROUPS, VERBS
from tutelage.errors import UsageError


def _require_whole_numbers(_app: App, _verb: Any, arguments: ArgumentCollection) -> None:
    """Refuse `--top 1.5`: a whole number is never rounded out of something else."""
    for argument in arguments:
        wanted = argument.hint in (int, tuple[int, ...])
        for token in argument.tokens if wanted else ():
            if not token.value.lstrip("+-").isdigit():
                what, fix = (
                    f"{argument.name} needs a whole number",
                    f"{argument.name} 3, for example",
                )
                raise UsageError(what, found=token.value, fix=fix)


app = App(
    name="tutelage",
    config=(_require_whole_numbers,),
    help_format="plaintext",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=""),
)
for _name, _verb in VERBS.items():
    _target = "app" if _name in GROUPS else _name
    app.command(f"tutelage.cli.{_verb.module}:{_target}", name=_name, help=_verb.text)


def run(verb: str, tokens: list[str]) -> Any:
    """Call a verb's function, with its settings where it takes any.

    Returns:
        What is printed.

    Raises:
        UsageError: a mistake in the arguments.
    """
    with _mistakes(verb):
        if verb not in PAGES:
            return app(tokens)
        from tutelage.cli.flags import read_command

        words, settings = read_command(verb, tokens)
        command, bound, _ = app.parse_args(words)
        return command(*bound.args, **bound.kwargs, settings=settings)


def page(verb: str, tokens: Sequence[str]) -> str:
    """The help of a verb that takes no settings, from its function; of a verb of verbs, those.

    Raises:
        UsageError: there is no such verb.
    """
    if verb not in VERBS:
        return str(run(verb, [*tokens]))
    if verb not in GROUPS:
        return argument_page(verb, VERBS[verb].text, app[verb].assemble_argument_collection())
    verbs = {name: app[verb][name] for name in app[verb] if not name.startswith("-")}
    for name in verbs.keys() & set(tokens[1:]):
        one = verbs[name]
        return argument_page(f"{verb} {name}", one.help, one.assemble_argument_collection())
    return group_page(verb, VERBS[verb].text, {name: one.help for name, one in verbs.items()})


@contextmanager
def _mistakes(verb: str) -> Iterator[None]:
    """Tell a mistake in the arguments as one of ours."""
    try:
        yield
    except CycloptsError as error:
        known = f"{verb} " if verb in VERBS else ""
        fix = f"tutelage {known}--help"
        if isinstance(error, MissingArgumentError) and "DATA" in str(error):
            fix = f"tutelage {known}DATA --FLAG ..., the data before all flags; {fix}"
        raise UsageError(" ".join(str(error).split()), fix=fix) from error
