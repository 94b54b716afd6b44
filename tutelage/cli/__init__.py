"""The command line: verbs over the settings dataclasses.

A verb's module is imported when the verb is called, and torch when its arguments are understood, so that
help and mistakes answer at once. Verbs return the lines that are printed.
"""

import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, ArgumentCollection, CycloptsError, MissingArgumentError, Parameter

from tutelage.cli.help_page import argument_page, group_page, top_page, verb_page
from tutelage.cli.verbs import GROUPS, VERBS
from tutelage.errors import UsageError
from tutelage.text import escape_lines

HELP = {"--help", "-h"}


def _require_whole_numbers(_app: App, _verb: Any, arguments: ArgumentCollection) -> None:
    """Refuse `--top 1.5`: a whole number is never rounded out of something else."""
    for argument in arguments:
        wanted = argument.hint in (int, tuple[int, ...])
        for token in argument.tokens if wanted else ():
            if not token.value.lstrip("+-").isdigit():
                raise UsageError(f"{argument.name} needs a whole number", found=token.value)


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


def call(arguments: Sequence[str]) -> None:
    """Parse the arguments, do what they say, print what comes of it.

    Raises:
        TutelageError: of any kind; a mistake in the arguments is a UsageError.
    """
    tokens = list(arguments)
    verb = next((token for token in tokens if not token.startswith("-")), "")
    wanted = tokens[: tokens.index("--")] if "--" in tokens else tokens
    needs_help = not tokens or bool(HELP & set(wanted))
    try:
        result = _page(verb, tokens) if needs_help else _run(verb, tokens)
    except CycloptsError as error:
        known = f"{verb} " if verb in VERBS else ""
        fix = f"tutelage {known}--help"
        if isinstance(error, MissingArgumentError) and "DATA" in str(error):
            fix = f"tutelage {known}DATA --FLAG ..., the data before all flags; {fix}"
        raise UsageError(" ".join(str(error).split()), fix=fix) from error
    if isinstance(result, str):
        sys.stdout.write(f"{escape_lines(result)}\n")


def _page(verb: str, tokens: Sequence[str]) -> Any:
    """A help page; of a verb that there is not, the error."""
    if not verb:
        return top_page(VERBS)
    if verb not in VERBS:
        return app([token for token in tokens if token not in HELP])
    from tutelage.cli.everyday import PAGES

    about = VERBS[verb].text
    if verb in PAGES:
        return verb_page(verb, about)
    if verb not in GROUPS:
        return argument_page(verb, about, app[verb].assemble_argument_collection())
    verbs = {name: app[verb][name] for name in app[verb] if not name.startswith("-")}
    for name in verbs.keys() & set(tokens[1:]):
        one = verbs[name]
        return argument_page(f"{verb} {name}", one.help, one.assemble_argument_collection())
    return group_page(verb, about, {name: one.help for name, one in verbs.items()})


def _run(verb: str, tokens: list[str]) -> Any:
    from tutelage.cli.everyday import PAGES

    if verb not in PAGES:
        return app(tokens)
    from tutelage.cli.flags import read_command

    words, settings = read_command(verb, tokens)
    command, bound, _ = app.parse_args(words)
    return command(*bound.args, **bound.kwargs, settings=settings)
