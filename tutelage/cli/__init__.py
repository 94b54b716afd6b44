"""The command line: verbs over the settings dataclasses.

A verb's module is imported when the verb is called, and torch when its arguments are understood, so that
help and mistakes answer at once. Verbs return the lines that are printed.
"""

import sys
from collections.abc import Sequence
from types import ModuleType

from tutelage.cli.everyday import PAGES
from tutelage.cli.help_page import top_page, verb_page
from tutelage.cli.verbs import VERBS
from tutelage.errors import MachineError
from tutelage.text import escape_lines

HELP = {"--help", "-h"}


def call(arguments: Sequence[str]) -> None:
    """Parse the arguments, do what they say, print what comes of it.

    Raises:
        TutelageError: of any kind; a mistake in the arguments is a UsageError.
    """
    tokens = list(arguments)
    verb = next((token for token in tokens if not token.startswith("-")), "")
    options = tokens[: tokens.index("--")] if "--" in tokens else tokens
    if tokens and not HELP & set(options):
        result = _parser().run(verb, tokens)
    elif not verb:
        result = top_page(VERBS)
    elif verb in PAGES:
        result = verb_page(verb, VERBS[verb].text)
    else:
        result = _parser().page(verb, [token for token in tokens if token not in HELP])
    if isinstance(result, str):
        sys.stdout.write(f"{escape_lines(result)}\n")


def _parser() -> ModuleType:
    """What needs cyclopts, without which the most important pages can be read and the library works."""
    try:
        import tutelage.cli.parser as parser
    except ImportError as error:
        fix = f"pip install {error.name}"
        raise MachineError(f"the command line needs {error.name}", fix=fix) from error
    return parser
