"""Carry out the runs of a job: finished ones are recognised by their fingerprint and skipped."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tutelage.config.job import DistillConfig
from tutelage.config.objective import DEFAULT_ALPHA
from tutelage.config.renamed import first_run_name
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import Networks, train_one
from tutelage.engine.runtime.progress import JobProgress
from tutelage.errors import Interrupted
from tutelage.methods.plan import PlannedRun
from tutelage.storage.checksums import write_sealed


def run_plan(
    runs: Sequence[PlannedRun],
    pack: Pack,
    context: RunContext,
    *,
    networks: Networks,
    after: Callable[[PlannedRun, Path], None] = lambda _run, _folder: None,
) -> None:
    """Do what is not done yet, run by run, in folders below that of the job.

    Args:
        runs: each after those it needs.
        pack: the images.
        context: of the job.
        networks: factories of modules of the caller's own.
        after: called with each run and its folder when it is finished.

    Raises:
        Interrupted: stopped, between two runs or within one.
    """
    job, own_modules = context.folder, {run.name: run.network for run in runs}
    progress = context.console.progress or progress_of(runs)
    context.console.progress = progress
    for run in runs:
        if any(context.world.all_gather(bool(context.stop))):
            raise Interrupted(f"stopped before {run.name}; nothing is lost", where=job)
        settings = run.settings
        if run.teachers:
            teachers = tuple(str(job / teacher) for teacher in run.teachers)
            settings = dataclasses.replace(settings, teacher=teachers)
        reference = job / run.reference if run.reference else None
        if run.resolve is not None and reference is not None:
            settings = run.resolve(settings, reference)
        own = context._replace(name=run.name, folder=job / run.name, job=job, reference=reference)
        network = networks.get(run.network or "")
        teacher_networks = [networks.get(own_modules.get(name) or "") for name in run.teachers]
        there = (own.folder / "scores.json").exists()
        progress.start(run.name)
        folder = train_one(settings, pack, own, network=network, teacher_networks=teacher_networks)
        progress.finish(run.name, trained=not there)
        after(run, folder)


def progress_of(runs: Sequence[PlannedRun]) -> JobProgress:
    """Set up the live view of some runs."""
    return JobProgress([(run.name, run.settings.model, run.settings.epochs) for run in runs])


def with_old_folders(runs: Sequence[PlannedRun], job: Path) -> list[PlannedRun]:
    """Let runs stay in the folders that an earlier version gave them; no other run needs those by name."""
    names = {run.name: first_run_name(run.name) for run in runs}
    return [
        run._replace(name=names[run.name]) if (job / names[run.name]).is_dir() else run
        for run in runs
    ]


def write_plan(
    job: DistillConfig,
    runs: Sequence[PlannedRun],
    folder: Path,
    *,
    recipe: str,
    ensembles: Mapping[str, Sequence[str]],
) -> None:
    """Write what the report reads: the method, the runs, their roles, alpha and temperature.

    `ensembles` are runs whose mean output is reported, too, by the name of the student they belong to.
    """
    kd = job.losses.kd
    facts = {
        "format": 1,
        "recipe": recipe,
        "title": job.title,
        "method": job.method,
        "temperature": kd.temperature if kd else None,
        "alpha": DEFAULT_ALPHA if job.alpha is None else job.alpha,
        "runs": [
            {
                "name": run.name,
                "role": run.settings.role,
                "seed": run.settings.seed,
                "folder": run.name,
            }
            for run in runs
        ],
        "ensembles": {student: list(names) for student, names in ensembles.items()},
    }
    write_sealed(folder / "plan.json", facts)
