"""The verbs that make something: run, train, distill, sweep, resume, check, pack."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from tutelage.cli.everyday import PLUGIN, QUIET
from tutelage.cli.flags import PackConfig
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.errors import UsageError
from tutelage.storage.atomic import expand_user

Job = Annotated[DistillConfig, Parameter(parse=False)]
Single = Annotated[TrainConfig, Parameter(parse=False)]
Pack = Annotated[PackConfig, Parameter(parse=False)]


def run(
    data: str,
    /,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    plugin: Path | None = None,
    quiet: bool = False,
    settings: Job,
) -> str:
    _use(plugin)
    commands = _commands()
    out = out or Path("runs", Path(recipe).stem if recipe else _stem(data))
    name = Path(recipe or "none").stem
    report = commands.run(data, settings, out=out, recipe=name, resume=resume, quiet=quiet)
    from tutelage.reports.write import comparison

    return "\n".join([*comparison([out]), f"report: {report}"])


def train(
    data: str,
    /,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    settings: Single,
) -> str:
    if settings.teacher:
        raise UsageError("`train` has no teacher", fix="tutelage distill DATA --teacher RUN")
    out = out or Path("runs", f"{_stem(data)}-{settings.model}")
    return _scores(_commands().train(data, settings, out=out, resume=resume, quiet=quiet))


def distill(
    data: str,
    /,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    plugin: Path | None = None,
    quiet: bool = False,
    settings: Single,
) -> str:
    _use(plugin)
    out = out or Path("runs", f"{_stem(data)}-{settings.model}-taught")
    return _scores(_commands().distill(data, settings, out=out, resume=resume, quiet=quiet))


def sweep(
    data: str,
    /,
    *,
    compare: Annotated[tuple[str, ...], Parameter(consume_multiple=True)],
    teacher_epochs: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    recipe: str | None = None,
    out: Path | None = None,
    cells: Path | None = None,
    plugin: Path | None = None,
    quiet: bool = False,
    settings: Job,
) -> str:
    _use(plugin)
    _commands()
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


def resume(
    folder: Annotated[
        Path, Parameter(help="The folder of an interrupted `run`, `train` or `distill`")
    ],
    *,
    plugin: Annotated[Path | None, Parameter(help=PLUGIN.text)] = None,
    quiet: Annotated[bool, Parameter(help=QUIET.text)] = False,
) -> str:
    _use(plugin)
    return str(_commands().resume(folder, quiet=quiet))


def check(data: str, /, *, settings: Pack) -> str:
    from tutelage.data.inspect import format_check

    _commands()
    from tutelage.commands.pack import check as check_data

    return "\n".join(format_check(check_data(data, settings.data)))


def pack(data: str, /, *, out: Path, quiet: bool = False, settings: Pack) -> str:
    _commands()
    from tutelage.commands.pack import pack as pack_data

    made = pack_data(data, settings.data, out=out, quiet=quiet)
    return f"{len(made.labels)} images of {len(made.classes)} classes: {made.folder}"


def _use(plugin: Path | None) -> None:
    if plugin is not None:
        _commands()
        from tutelage.config.plugins import register_losses

        register_losses(plugin)


def _commands() -> Any:
    from tutelage.cli.installation import require_matching

    require_matching()
    from tutelage.commands import train as commands

    return commands


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
