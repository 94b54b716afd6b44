"""The function behind each verb that makes something: run, train, distill, pack, check, resume.

The command line and Python call the same functions with the same settings objects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.commands import job_folder as folders
from tutelage.commands.plans.born_again import ensembles_of
from tutelage.commands.plans.registry import plan_job
from tutelage.commands.plans.step import run_plan, with_old_folders, write_plan
from tutelage.commands.preflight import (
    BYTES_A_NETWORK,
    require_batch,
    require_checkpoint_epochs,
    require_last_batch,
    require_network,
    require_plan,
    require_plan_fits,
    require_plan_networks,
    require_room,
    require_snapshot_epochs,
)
from tutelage.commands.prepare_data import prepare_data
from tutelage.commands.session import (
    close_job,
    data_name,
    job_session,
    require_data_or_job,
    run_place,
)
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.renamed import current_names
from tutelage.config.schema import build, flag, validate
from tutelage.config.toml import read_toml
from tutelage.engine.build import is_taught
from tutelage.engine.run import Networks, train_one
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.process_group import process_group
from tutelage.engine.specialists import require_group
from tutelage.engine.teachers import NetworkFactory
from tutelage.errors import InputError, UsageError
from tutelage.methods.factory import require_usable_losses
from tutelage.methods.registry import METHODS, check_mixtures
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
    """The whole job: pack, teacher, students, controls, comparison, report.

    Args:
        data: a folder, CSV, zip, pack, `sample`, or the name of a known data set.
        settings: of the job.
        out: a new folder, or that of the same job.
        recipe: the name the report gives the settings.
        resume: continue the same job where it is unfinished.
        networks: makers of modules of your own for `teacher` and `student`, given the class count.
        quiet: print nothing.

    Returns:
        The path of report.html.

    Raises:
        TutelageError: see `tutelage.errors`.
    """
    settings, out = settings or DistillConfig(), Path(out)
    networks = networks or {}
    validate(settings)
    loss_weights(settings)
    check_mixtures(settings.method, settings.student)
    steps = plan_job(settings)
    require_plan(settings, steps, networks)
    require_data_or_job(data, out)
    resolve_runtime(settings)
    require_plan_networks(steps, networks)
    facts = {"verb": "run", "data": data_name(data), "recipe": recipe, "networks": sorted(networks)}
    with (
        process_group() as world,
        job_session(out, settings, facts, world, resume=resume, quiet=quiet) as work,
    ):
        if work.state != "finished":
            require_room(out, BYTES_A_NETWORK * len(steps))
            pack = prepare_data(
                data, settings.data, out, screen=work.screen, stop=work.stop, world=world
            )
            require_plan_fits(settings, steps, pack, networks)
            steps = with_old_folders(steps, out)
            if world.first:
                write_plan(settings, steps, out, recipe=recipe, ensembles=ensembles_of(steps))
            run_plan(steps, pack, run_place(settings, "job", out, work), networks=networks)
            world.first_does(lambda: close_job(out, work.stop, report=True))
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
    """One network: trained alone, or taught where `settings.teacher` names a run or model folder.

    Arguments and errors are those of `run`; `network` makes a module of your own, given the class
    count. Returns the run folder, which is `out`.
    """
    settings, out = settings or TrainConfig(), Path(out)
    validate(settings)
    loss_weights(settings)
    if METHODS[settings.method].planned and settings.role == "student":
        raise UsageError(
            f"the method {settings.method} takes several runs",
            found=f"method = {settings.method}",
            fix="tutelage run, which plans them",
        )
    require_snapshot_epochs(settings)
    require_group(settings)
    if is_taught(settings):
        check_mixtures(settings.method, settings)
        require_usable_losses(settings)
        require_checkpoint_epochs(settings, settings.epochs)
    require_data_or_job(data, out)
    resolve_runtime(settings)
    if network is None:
        require_network(settings)
    verb = "distill" if is_taught(settings) else "train"
    facts = {
        "verb": verb,
        "data": data_name(data),
        "networks": [] if network is None else ["network"],
    }
    with (
        process_group() as world,
        job_session(out, settings, facts, world, resume=resume, quiet=quiet) as work,
    ):
        if work.state != "finished":
            require_room(out, BYTES_A_NETWORK)
            pack = prepare_data(
                data, settings.data, out, screen=work.screen, stop=work.stop, world=world
            )
            require_batch(settings.batch_size, len(pack.rows("train")))
            if is_taught(settings):
                require_last_batch(settings, settings.batch_size, len(pack.rows("train")))
            train_one(settings, pack, run_place(settings, settings.role, out, work), make=network)
            world.first_does(lambda: close_job(out, work.stop, report=False))
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
    """One student, from the teachers that `settings.teacher` names, its peers or itself; else as `train`."""
    if METHODS[settings.method].taught and not settings.teacher:
        raise UsageError(
            "nobody to learn from",
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
            "a sweep goes on where it is started again",
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
    """A folder that a stranger made may not say where else on this machine is written; a command may."""
    beside = out.absolute().parent
    for name, place in (("cache", settings.cache), ("data.dir", settings.data.dir)):
        if place is not None and not is_within(expand_user(place), beside):
            raise UsageError(
                f"the folder's settings name a place outside it to write to: {flag(name)}",
                where=out / "config.toml",
                found=place,
                expected=f"a folder in {beside}",
                fix="if you chose that place yourself: the same command as at first, with --resume",
            )
