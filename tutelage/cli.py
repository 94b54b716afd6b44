"""The command line: verbs over the settings dataclasses.

No verb imports torch before its arguments are understood, so that help and mistakes answer at once.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from tutelage.arguments import (
    DataArgument,
    Out,
    Quiet,
    Recipe,
    Resume,
    Settings,
    defaults,
    long,
    whole_numbers,
)
from tutelage.config import build, table
from tutelage.cookbook import read_recipe, recipe_names
from tutelage.data.settings import Data
from tutelage.errors import UsageError
from tutelage.settings import Job, Single
from tutelage.toml import to_toml

app = App(
    name="tutelage",
    help="From a folder of images to a small, accurate network, with a verdict you can trust.",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=""),
)


def call(arguments: Sequence[str]) -> None:
    """Parse the arguments and do what they say.

    Raises:
        TutelageError: of any kind; a mistake in the arguments is a UsageError.
    """
    tokens = [long(token) for token in arguments]
    verb = next((token for token in tokens if not token.startswith("-")), "")
    app.config = (defaults(verb, tokens), whole_numbers)
    try:
        app(tokens)
    except CycloptsError as error:
        raise UsageError(_plain(error), fix=" ".join(f"tutelage {verb} --help".split())) from error


def _plain(error: CycloptsError) -> str:
    return " ".join(str(error).split())


@app.command
def run(
    data: DataArgument,
    /,
    *,
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = False,
    quiet: Quiet = False,
    settings: Annotated[Job | None, Settings] = None,
) -> None:
    """The whole job: pack, teacher, students, controls, comparison, report."""
    verbs = _verbs()
    out = out or Path("runs", Path(recipe).stem if recipe else _stem(data))
    name = Path(recipe or "none").stem
    report = verbs.run(data, settings, out=out, recipe=name, resume=resume, quiet=quiet)
    _print_comparison([out])
    print(f"report: {report}")


@app.command
def train(
    data: DataArgument,
    /,
    *,
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = False,
    quiet: Quiet = False,
    settings: Annotated[Single | None, Settings] = None,
) -> None:
    """One network on its own: a teacher, a control."""
    settings = settings or Single()
    if settings.teacher is not None:
        raise UsageError("`train` has no teacher", fix="tutelage distill DATA --teacher RUN")
    out = out or Path("runs", f"{_stem(data)}-{settings.model}")
    _print_scores(_verbs().train(data, settings, out=out, resume=resume, quiet=quiet))


@app.command
def distill(
    data: DataArgument,
    /,
    *,
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = False,
    quiet: Quiet = False,
    settings: Annotated[Single | None, Settings] = None,
) -> None:
    """One student from a finished teacher."""
    settings = settings or Single()
    out = out or Path("runs", f"{_stem(data)}-{settings.model}-taught")
    _print_scores(_verbs().distill(data, settings, out=out, resume=resume, quiet=quiet))


@app.command(name="resume")
def resume_run(folder: Path, *, quiet: Quiet = False) -> None:
    """Continue an interrupted run from its folder alone."""
    print(_verbs().resume(folder, quiet=quiet))


@app.command
def check(
    data: DataArgument, /, *, settings: Annotated[Data | None, Parameter(name="data")] = None
) -> None:
    """What is in the data and what is wrong with it; nothing is written."""
    from tutelage.data.check import check_lines

    for line in check_lines(_verbs().examine(data, settings)):
        print(line)


@app.command
def pack(
    data: DataArgument,
    /,
    *,
    out: Path,
    quiet: Quiet = False,
    settings: Annotated[Data | None, Parameter(name="data")] = None,
) -> None:
    """Decode every picture once into a folder that other commands take as their data."""
    made = _verbs().pack(data, settings, out=out, quiet=quiet)
    print(f"{len(made.labels)} images of {len(made.classes)} classes: {made.folder}")


@app.command
def evaluate(
    network: Path, data: DataArgument, *, split: Literal["val", "test", "train"] = "val"
) -> None:
    """Measure a run's or model folder's network on labelled images; prints JSON."""
    _installed()
    from tutelage.use import evaluate as measure

    print(json.dumps(measure(network, data, split=split), indent=1, ensure_ascii=False))


@app.command
def compare(*folders: Path) -> None:
    """A table of finished runs side by side, or of all runs of a job."""
    if not folders:
        raise UsageError("nothing to compare", fix="tutelage compare JOB, or RUN RUN ...")
    _print_comparison(folders)


@app.command
def report(job: Path) -> None:
    """Write the report of a finished job again."""
    from tutelage.reports.report import write_report

    print(write_report(job))


@app.command
def predict(
    network: Path, pictures: Path, *, out: Path = Path("predictions.csv"), top: int = 3
) -> None:
    """Classify a folder of pictures: file, class, probability and runners-up in a CSV."""
    _installed()
    from tutelage.use import predict as classify

    result = classify(network, pictures, out=out, top=top)
    for name, reason in result.unreadable:
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    print(f"{result.classified} pictures classified, {len(result.unreadable)} unreadable: {out}")


@app.command
def export(
    network: Path,
    *,
    format: Annotated[Literal["onnx"], Parameter(help="File format.")] = "onnx",
    out: Path | None = None,
    data: str = "sample",
) -> None:
    """One deployable file, checked against the network on real images."""
    _installed()
    from tutelage.use import export as hand_over

    print(hand_over(network, format=format, out=out, data=data))


@app.command
def recipes() -> None:
    """The named settings there are."""
    for name in recipe_names():
        first = read_recipe(name).comment.partition("\n")[0]
        print(f"{name:24}{first}")


@app.command
def show(recipe: str) -> None:
    """A recipe's settings with every default filled in: itself a valid recipe."""
    job = build(Job, read_recipe(recipe).table, where=recipe)
    print(to_toml(table(job)), end="")


@app.command
def models(*, filter: str = "") -> None:
    """The networks there are, with their weight tags."""
    _installed()
    import timm

    for name in timm.list_models(f"*{filter}*"):
        tags = ", ".join(full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*"))
        print(f"{name:40}{tags}")


def _print_comparison(folders: Sequence[Path]) -> None:
    from tutelage.reports.report import comparison

    for line in comparison(folders):
        print(line)


def _stem(data: str) -> str:
    return Path(data).expanduser().resolve().stem or "run"


def _verbs() -> Any:
    _installed()
    from tutelage import verbs

    return verbs


def _installed() -> None:
    from tutelage.installation import require_matching

    require_matching()


def _print_scores(folder: Path) -> None:
    scores = json.loads((folder / "scores.json").read_text())
    for moment in ("last", "best"):
        for split, name in (("val", "validation"), ("test", "test")):
            if metrics := scores[moment][split]:
                low, high = metrics["accuracy_interval"]
                print(
                    f"{moment} epoch ({scores[moment]['epoch']}), {name}: "
                    f"{100 * metrics['accuracy']:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f})"
                )
    print(f"model: {folder / 'model'}")
