"""The command line: verbs over the settings dataclasses.

A verb's module is imported when the verb is asked for, and torch when its arguments are understood, so
that help and mistakes answer at once. Verbs return the lines they want printed.
"""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

from tutelage.errors import UsageError
from tutelage.text import escape_lines

VERBS = {
    "run": ("training", "The whole job: pack, teacher, students, controls, comparison, report."),
    "train": ("training", "One network on its own: a teacher, a control."),
    "distill": ("training", "One student from a finished teacher."),
    "sweep": (
        "training",
        "Ways of teaching side by side: one teacher, and a control and a student of each for every seed.",
    ),
    "resume": ("training", "Continue an interrupted run from its folder alone."),
    "check": ("training", "What is in the data and what is wrong with it; nothing is written."),
    "pack": (
        "training",
        "Decode every image once into a folder that other commands take as their data.",
    ),
    "evaluate": (
        "inference",
        "Measure a run's or model folder's network on labelled images; prints JSON.",
    ),
    "predict": (
        "inference",
        "Classify a folder of images: file, class, probability and runners-up in a CSV.",
    ),
    "export": ("inference", "One deployable file, checked against the network on real images."),
    "compare": ("inspection", "A table of finished runs side by side, or of all runs of a job."),
    "report": ("inspection", "Write the report of a finished job again."),
    "verify": (
        "inspection",
        "Read everything that was kept and name each damaged file; exit code 3 where there is one.",
    ),
    "recipes": ("inspection", "The named settings there are."),
    "show": (
        "inspection",
        "A recipe's settings with every default filled in: itself a valid recipe.",
    ),
    "losses": (
        "catalogue",
        "The terms an objective is made of; with a name: its formula, source, settings and recipes.",
    ),
    "methods": (
        "catalogue",
        "Who can teach whom; with a name: its source, settings and what terms hear under it.",
    ),
    "models": ("inspection", "The networks there are, with their weight tags."),
}
"""The module of each verb below this package, and its help."""

GROUPS = {
    "cache": "Teachers' answers that are kept for later students: list, verify, remove.",
    "benchmark": "How long things take on this machine: a training step, the losses, an answer.",
}
"""Verbs with verbs of their own; the module has the verb's name."""

app = App(
    name="tutelage",
    help="From a folder of images to a small, accurate network, with a verdict you can trust.",
    # Markdown costs a third of the time of `--help`, and one-line texts have none.
    help_format="plaintext",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=""),
)
for _verb, (_module, _help) in VERBS.items():
    app.command(f"tutelage.cli.{_module}:{_verb}", name=_verb, help=_help, help_format="markdown")
for _group, _help in GROUPS.items():
    app.command(f"tutelage.cli.{_group}:app", name=_group, help=_help)


def call(arguments: Sequence[str]) -> None:
    """Parse the arguments, do what they say, print what comes of it.

    Raises:
        TutelageError: of any kind; a mistake in the arguments is a UsageError.
    """
    tokens = list(arguments)
    verb = next((token for token in tokens if not token.startswith("-")), "")
    if verb:
        from tutelage.cli.arguments import defaults, expand_alias, require_whole_numbers

        if verb in VERBS:
            tokens = [expand_alias(token) for token in tokens]
        app.config = (defaults(verb, tokens), require_whole_numbers)
    try:
        said = app(tokens)
    except CycloptsError as error:
        known = f"{verb} " if verb in VERBS or verb in GROUPS else ""
        fix = f"tutelage {known}--help"
        if isinstance(error, MissingArgumentError) and "DATA" in str(error):
            fix = f"tutelage {known}DATA --FLAG ..., the data before all flags; {fix}"
        raise UsageError(" ".join(str(error).split()), fix=fix) from error
    if isinstance(said, str):
        sys.stdout.write(f"{escape_lines(said)}\n")
