"""The functions behind the commands that train: run, train, distill, resume.

The command line and Python call the same functions with the same settings objects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.commands import job_folder as folders
from tutelage.commands.outside_names import resolve_job, resolve_run
from tutelage.commands.preflight import (
    BYTES_A_NETWORK,
    Job,
    preflight,
    preflight_data,
    require_room,
)
from tutelage.commands.prepare_data import prepare_data
from tutelage.commands.run_plan import run_plan, with_old_folders, write_plan
from tutelage.commands.session import close_job, data_name, job_session
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.renamed import current_names
from tutelage.config.schema import build, flag
from tutelage.config.toml import read_toml
from tutelage.engine.run import Networks, train_one
from tutelage.engine.runtime.process_group import process_group
from tutelage.engine.teachers import NetworkFactory
from tutelage.errors import InputError, UsageError
from tutelage.methods.plan import PlannedRun
from tutelage.methods.registry import is_distilled, plan_job, spec_of
from tutelage.storage.atomic import expand_user
from tutelage.storage.safe_paths import is_within


def run(
    data: str | Path,
    settings: DistillConfig | None = None,
    *,
    out: str | Path,
    recipe: str = "none",
    resume: bool = False,
    networks: Networks | None = None,
    quiet: bool = False,
) -> Path:
    """Do the whole job: pack, teacher, students, controls, comparison, report.

    Args:
        data: a folder, CSV, zip, pack, `sample`, or the name of a known dataset.
        settings: of the job.
        out: a new folder, or that of the same job.
        recipe: the name the report gives the settings.
        resume: continue the same job where it is unfinished.
        networks: factories of modules of your own for `teacher` and `student`, given the class count.
        quiet: print nothing.

    Returns:
        The path of report.html.

    Raises:
        TutelageError: see `tutelage.errors`.
    """
    settings, out = resolve_job(settings or DistillConfig()), Path(out)
    job = Job(settings, plan_job(settings), networks or {})
    preflight([job], data, out)
    facts = {
        "verb": "run",
        "data": data_name(data),
        "recipe": recipe,
        "networks": sorted(job.networks),
    }
    with (
        process_group() as world,
        job_session(out, "job", settings, facts, world, resume=resume, quiet=quiet) as session,
    ):
        if session.state != "finished":
            context = session.context
            require_room(out, BYTES_A_NETWORK * len(job.runs))
            pack = prepare_data(data, settings.data, context)
            preflight_data([job], pack)
            runs = with_old_folders(job.runs, out)
            if world.first:
                ensembles = spec_of(settings).ensembles(runs)
                write_plan(settings, runs, out, recipe=recipe, ensembles=ensembles)
            run_plan(runs, pack, context, networks=job.networks)
            world.run_on_rank0(lambda: close_job(context, settings, report=True))
    return out / "report" / "report.html"


def train(
    data: str | Path,
    settings: TrainConfig | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    network: NetworkFactory | None = None,
    quiet: bool = False,
) -> Path:
    """Train one network, without a teacher unless `settings.teacher` names a run or model folder.

    Arguments and errors are those of `run`; `network` makes a module of your own, given the class
    count. Returns the run folder, which is `out`.
    """
    settings, out = resolve_run(settings or TrainConfig()), Path(out)
    if spec_of(settings).several_runs and settings.is_student:
        raise UsageError(
            f"the method {settings.method} takes several runs",
            found=f"method = {settings.method}",
            fix="tutelage run, which plans them",
        )
    networks: Networks = {} if network is None else {"student": network}
    planned = PlannedRun(settings.role, settings, teachers=settings.teacher, network="student")
    job = Job(settings, [planned], networks)
    preflight([job], data, out)
    facts = {
        "verb": "distill" if is_distilled(settings) else "train",
        "data": data_name(data),
        "networks": [] if network is None else ["network"],
    }
    with (
        process_group() as world,
        job_session(
            out, settings.role, settings, facts, world, resume=resume, quiet=quiet
        ) as session,
    ):
        if session.state != "finished":
            context = session.context
            require_room(out, BYTES_A_NETWORK)
            pack = prepare_data(data, settings.data, context)
            preflight_data([job], pack)
            train_one(settings, pack, context, network=network)
            world.run_on_rank0(lambda: close_job(context, settings, report=False))
    return out


def distill(
    data: str | Path,
    settings: TrainConfig,
    *,
    out: str | Path,
    resume: bool = False,
    network: NetworkFactory | None = None,
    quiet: bool = False,
) -> Path:
    """Train one student: of the teachers that `settings.teacher` names, of its peers or of itself."""
    if spec_of(settings).needs_teacher and not settings.teacher:
        raise UsageError(
            "the student has no teacher",
            expected="a run folder or a model folder",
            fix="--teacher runs/teacher",
        )
    return train(data, settings, out=out, resume=resume, network=network, quiet=quiet)


def resume(out: str | Path, *, quiet: bool = False) -> Path:
    """Continue an interrupted `run`, `train` or `distill` from its folder alone.

    Returns what the verb itself returns.

    Raises:
        UsageError: nothing to resume there, or it used modules that only Python can hand over.
    """
    out = Path(out)
    facts = folders.reopen_job(out)
    verb, data = _asked(facts, out)
    if facts.get("networks"):
        raise UsageError(
            "this run uses a module of your own; only Python can hand it over again",
            where=out,
            fix="the same call in Python with resume=True",
        )
    if verb == "sweep":
        raise UsageError(
            "a sweep continues where it is started again",
            where=out,
            fix="the same `tutelage sweep` command",
        )
    settings = current_names(read_toml(out / "config.toml"))
    if verb == "run":
        job = build(DistillConfig, settings, where=str(out / "config.toml"))
        _require_own_places(job, out)
        recipe = str(facts.get("recipe", "none"))
        return run(data, job, out=out, recipe=recipe, resume=True, quiet=quiet)
    single = build(TrainConfig, settings, where=str(out / "config.toml"))
    _require_own_places(single, out)
    return train(data, single, out=out, resume=True, quiet=quiet)


def _asked(facts: Mapping[str, Any], out: Path) -> tuple[str, str]:
    verb, data = facts.get("verb"), facts.get("data")
    if verb not in ("run", "train", "distill", "sweep") or not isinstance(data, str):
        raise InputError("the folder does not say what was asked for", where=out / "job.json")
    return verb, data


def _require_own_places(settings: DistillConfig | TrainConfig, out: Path) -> None:
    """Refuse a folder whose settings name another place to write to; a command may name one."""
    beside = out.absolute().parent
    places = {"cache": settings.cache, "data.dir": settings.data.dir}
    for name, place in {**places, "track_dir": settings.track_dir}.items():
        if place is not None and not is_within(expand_user(place), beside):
            raise UsageError(
                f"the folder's settings name a place outside it to write to: {flag(name)}",
                where=out / "config.toml",
                found=place,
                expected=f"a folder in {beside}",
                fix="if you chose that place yourself: the same command as at first, with --resume",
            )
