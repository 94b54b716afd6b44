"""The verbs that make something: run, train, distill, resume, check, pack."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from tutelage.cli.arguments import DataArgument, Out, Plugin, Quiet, Recipe, Resume, Settings
from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.errors import UsageError
from tutelage.storage.atomic import expand_user

DataSettings = Annotated[DataConfig | None, Parameter(name="data")]


def run(
    data: DataArgument,
    /,
    *,
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = False,
    plugin: Plugin = None,
    quiet: Quiet = False,
    settings: Annotated[DistillConfig | None, Settings] = None,
) -> str:
    """The whole job: pack, teacher, students, controls, comparison, report."""
    _use(plugin)
    verbs = _verbs()
    out = out or Path("runs", Path(recipe).stem if recipe else _stem(data))
    name = Path(recipe or "none").stem
    report = verbs.run(data, settings, out=out, recipe=name, resume=resume, quiet=quiet)
    from tutelage.reports.write import comparison

    return "\n".join([*comparison([out]), f"report: {report}"])


def train(
    data: DataArgument,
    /,
    *,
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = False,
    quiet: Quiet = False,
    settings: Annotated[TrainConfig | None, Settings] = None,
) -> str:
    """One network on its own: a teacher, a control."""
    settings = settings or TrainConfig()
    if settings.teacher:
        raise UsageError("`train` has no teacher", fix="tutelage distill DATA --teacher RUN")
    out = out or Path("runs", f"{_stem(data)}-{settings.model}")
    return _scores(_verbs().train(data, settings, out=out, resume=resume, quiet=quiet))


def distill(
    data: DataArgument,
    /,
    *,
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = False,
    plugin: Plugin = None,
    quiet: Quiet = False,
    settings: Annotated[TrainConfig | None, Settings] = None,
) -> str:
    """One student from a finished teacher."""
    _use(plugin)
    settings = settings or TrainConfig()
    out = out or Path("runs", f"{_stem(data)}-{settings.model}-taught")
    return _scores(_verbs().distill(data, settings, out=out, resume=resume, quiet=quiet))


def sweep(
    data: DataArgument,
    /,
    *,
    compare: Annotated[
        tuple[str, ...],
        Parameter(
            help="One or more recipes: what each minimises and who teaches is compared.",
            consume_multiple=True,
        ),
    ],
    teacher_epochs: Annotated[
        tuple[int, ...],
        Parameter(
            help="Lengths of the teacher's training: each of --compare is done under each.",
            consume_multiple=True,
        ),
    ] = (),
    recipe: Recipe = None,
    out: Out = None,
    cells: Annotated[
        Path | None,
        Parameter(help="Folder of the results, one small file a run. Default: OUT/cells"),
    ] = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
    settings: Annotated[DistillConfig | None, Settings] = None,
) -> str:
    """Ways of teaching side by side: one teacher, and a control and a student of each for every seed."""
    _use(plugin)
    _verbs()
    from tutelage.commands import sweep as sweeping

    out = out or Path("runs", f"{_stem(data)}-sweep")
    chosen = {Path(name).stem: sweeping.method_of(name) for name in compare}
    if len(chosen) < len(compare):
        raise UsageError(
            "two of the recipes have one name",
            found=", ".join(compare),
            fix="rename a recipe's file",
        )
    table = sweeping.sweep(
        data,
        settings,
        compare=chosen,
        teacher_epochs=teacher_epochs,
        out=out,
        cells=cells,
        quiet=quiet,
    )
    return f"{table.read_text()}\n{table}"


def resume(folder: Path, *, plugin: Plugin = None, quiet: Quiet = False) -> str:
    """Continue an interrupted run from its folder alone."""
    _use(plugin)
    return str(_verbs().resume(folder, quiet=quiet))


def check(data: DataArgument, /, *, settings: DataSettings = None) -> str:
    """What is in the data and what is wrong with it; nothing is written."""
    from tutelage.data.inspect import format_check

    _verbs()
    from tutelage.commands.pack import check as check_data

    return "\n".join(format_check(check_data(data, settings)))


def pack(
    data: DataArgument, /, *, out: Path, quiet: Quiet = False, settings: DataSettings = None
) -> str:
    """Decode every image once into a folder that other commands take as their data."""
    _verbs()
    from tutelage.commands.pack import pack as pack_data

    made = pack_data(data, settings, out=out, quiet=quiet)
    return f"{len(made.labels)} images of {len(made.classes)} classes: {made.folder}"


def _use(plugin: Path | None) -> None:
    if plugin is not None:
        _verbs()
        from tutelage.config.plugins import register_losses

        register_losses(plugin)


def _verbs() -> Any:
    from tutelage.cli.installation import require_matching

    require_matching()
    from tutelage.commands import train as verbs

    return verbs


def _stem(data: str) -> str:
    return expand_user(data).resolve().stem or "run"


def _scores(folder: Path) -> str:
    from tutelage.storage.run_results import open_results

    scores = open_results(folder).table("scores.json")
    lines = []
    for moment in ("last", "best"):
        for split, name in (("val", "validation"), ("test", "test")):
            if metrics := scores[moment][split]:
                low, high = metrics["accuracy_interval"]
                lines.append(
                    f"{moment} epoch ({scores[moment]['epoch']}), {name}: "
                    f"{100 * metrics['accuracy']:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f})"
                )
    return "\n".join([*lines, f"model: {folder / 'model'}"])
