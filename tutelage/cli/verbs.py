"""The verbs of the command line: where each is, and the one sentence that tells what it does."""

from typing import NamedTuple


class Verb(NamedTuple):
    """A verb."""

    group: str
    """Its heading in `tutelage --help`."""

    module: str
    """Its module in this package: a function of the verb's name, or `app` with verbs of its own."""

    text: str
    """What it does."""


def _verbs(group: str, module: str, **texts: str) -> dict[str, Verb]:
    return {name: Verb(group, module, text) for name, text in texts.items()}


VERBS = {
    **_verbs(
        "Make",
        "training",
        run="Train a teacher, students taught by it and controls without it, and report the gain.",
        train="Train one network on its own: a teacher or a control.",
        distill="Train one student: taught by finished teachers, by peers or by itself.",
        sweep="Compare losses and methods: under one teacher, students and controls for every seed.",
        resume="Continue an interrupted run from its folder alone.",
        check="List what is in the data and what is wrong with it; nothing is written.",
        pack="Decode every image once, into a folder that other commands take as their data.",
    ),
    **_verbs(
        "Use",
        "adopt",
        adopt="Take in a finished network: a weight file becomes a folder that every command takes.",
    ),
    **_verbs(
        "Use",
        "inference",
        evaluate="Measure a network on labelled images; prints JSON.",
        predict="Classify a folder of images: file, class, probability and runners-up in a CSV.",
        export="Write one deployable file, checked against the network on real images.",
    ),
    **_verbs(
        "Inspect",
        "inspection",
        compare="Print finished runs side by side, or all runs of a job.",
        report="Write the report of a finished job again.",
        verify="Read every file that was kept and name each damaged one; exit code 3 if there is any.",
    ),
    **_verbs("Inspect", "cache", cache="List, verify or remove the teacher outputs that are kept."),
    **_verbs(
        "Inspect", "benchmark", benchmark="Time a training step, the losses, or a network's latency."
    ),
    **_verbs("Look up", "settings", settings="Explain the settings: flags, defaults, ranges, choices."),
    **_verbs(
        "Look up",
        "recipes",
        recipes="List the recipes: named settings of jobs, losses and methods.",
        show="Print a recipe with every default filled in: itself a valid recipe.",
    ),
    **_verbs(
        "Look up",
        "catalogue",
        losses="List the losses, or explain one: formula, source, settings and recipes.",
        methods="List the methods, or explain one: source, settings and usable losses.",
        models="List the networks, with their weight tags.",
    ),
    **_verbs("Look up", "completion", completion="Print the completion script of a shell."),
}  # fmt: skip
"""By name, in the order of `tutelage --help`."""

GROUPS = ("cache", "benchmark")
"""Verbs with verbs of their own."""
