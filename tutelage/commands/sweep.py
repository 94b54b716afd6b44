"""A sweep: recipes side by side, each with its students, under the same teacher and beside the same controls.

Each finished run leaves a cell, a small file that outlives its run folder: a sweep that is started again,
here or elsewhere, does what has no cell yet.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.commands.plans.registry import plan_job
from tutelage.commands.plans.step import run_plan
from tutelage.commands.plans.sweep import SweepRun, plan_sweep, runs_needed
from tutelage.commands.preflight import (
    BYTES_A_NETWORK,
    require_plan,
    require_plan_fits,
    require_plan_networks,
    require_room,
)
from tutelage.commands.prepare_data import prepare_data
from tutelage.commands.session import (
    Session,
    data_name,
    job_session,
    require_data_or_job,
    run_place,
)
from tutelage.config.job import DistillConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.config.recipes import METHOD, OBJECTIVE, read_recipe
from tutelage.config.schema import build, fingerprint, shared_fields, validate
from tutelage.data.pack.pack import Pack
from tutelage.engine.run_folder import portable_identity, read_fingerprint
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.process_group import process_group
from tutelage.errors import DivergedError, UsageError
from tutelage.methods.registry import METHODS, check_mixtures
from tutelage.reports.sweep.page import write_sweep_page
from tutelage.reports.sweep.results import SweepRunInfo, known_results, read_results, write_result


def sweep(
    data: str | Path,
    settings: DistillConfig | None = None,
    *,
    compare: Mapping[str, MethodConfig],
    out: str | Path,
    teacher_epochs: Sequence[int] = (),
    cells: str | Path | None = None,
    quiet: bool = False,
) -> Path:
    """Compare ways of teaching with each other and with no teacher at all.

    Args:
        data: as for `tutelage.run`.
        settings: of teacher and students; who teaches and what is minimised is not used.
        compare: these two, by a name for the table.
        out: folder of the runs; a sweep that is already in it is continued.
        teacher_epochs: lengths of the teacher's training; every one of `compare` that has a finished teacher
            is done under each.
        cells: folder of the cells; `cells` below `out` where not given.
        quiet: print nothing.

    Returns:
        The path of the table, a Markdown file beside the folder of the cells.

    Raises:
        DivergedError: some runs diverged; all others are done.
        Interrupted: asked to stop; the same call goes on.
        TutelageError: see `tutelage.errors`.
    """
    settings, out = settings or DistillConfig(), Path(out)
    folder = Path(cells) if cells else out / "cells"
    jobs = _jobs(settings, compare, teacher_epochs)
    for job in jobs.values():
        validate(job)
        loss_weights(job)
        check_mixtures(job.method, job.student)
    plan, steps = plan_sweep(jobs), {name: plan_job(job) for name, job in jobs.items()}
    for name, job in jobs.items():
        require_plan(job, steps[name], networks={})
    require_data_or_job(data, out)
    resolve_runtime(settings)
    for name in jobs:
        require_plan_networks(steps[name], networks={})
    same = dataclasses.replace(settings, seeds=1)  # a sweep may grow
    facts = {"verb": "sweep", "data": data_name(data), "networks": []}
    with (
        process_group() as world,
        job_session(out, same, facts, world, resume=True, quiet=quiet) as work,
    ):
        pack = prepare_data(
            data, settings.data, out, screen=work.screen, stop=work.stop, world=world
        )
        for name, job in jobs.items():
            require_plan_fits(job, steps[name], pack, networks={})
        there, identities = read_results(folder), _identities(plan, pack)
        kept = [planned for planned in plan if planned.objective]
        missing = {
            p.step.name
            for p in kept
            if not known_results(
                there, p.objective or "", p.step.settings.seed, identities[p.step.name]
            )
        }
        work.screen.line(f"sweep: {len(kept) - len(missing)} of {len(kept)} runs have a cell")
        left = runs_needed(plan, missing)
        require_room(out, BYTES_A_NETWORK * len(left))
        _carry_out(left, identities, pack, settings, out, folder, work)
        with work.stop.at_once():
            return write_sweep_page(folder)


def method_of(recipe: str) -> MethodConfig:
    """Who teaches and what is minimised in a recipe, whatever else it says.

    Raises:
        UsageError: no such recipe, or one that says neither.
    """
    found = read_recipe(recipe).table
    own: dict[str, Any] = {key: found[key] for key in (OBJECTIVE | METHOD) & found.keys()}
    if not own:
        raise UsageError(
            f"the recipe {recipe} names no terms, no alpha and no method", fix="tutelage recipes"
        )
    return build(MethodConfig, own, where=recipe)


def _jobs(
    settings: DistillConfig, compare: Mapping[str, MethodConfig], teacher_epochs: Sequence[int]
) -> dict[str, DistillConfig]:
    jobs = {}
    for name, teaching in compare.items():
        if name in ("teacher", "control", "control-equal-compute"):
            raise UsageError(f"what is compared cannot be called {name}")
        job = dataclasses.replace(settings, **shared_fields(MethodConfig, teaching))
        if not (teacher_epochs and METHODS[job.method].taught):
            jobs[name] = job
            continue
        for epochs in teacher_epochs:
            teacher = dataclasses.replace(settings.teacher, epochs=epochs)
            jobs[f"{name}@{epochs}"] = dataclasses.replace(job, teacher=teacher)
    return jobs


def _carry_out(
    left: Sequence[SweepRun],
    identities: Mapping[str, str],
    pack: Pack,
    settings: DistillConfig,
    out: Path,
    folder: Path,
    work: Session,
) -> None:
    """Do what is left; a run that diverges stops those it would have taught, and nothing else."""
    place, failed = run_place(settings, "sweep", out, work), dict[str, DivergedError]()
    for planned in left:
        work.stop.poll()
        step = planned.step
        needs = {*step.teachers, *filter(None, [step.compares])}
        if needs & failed.keys():
            failed[step.name] = failed[min(needs & failed.keys())]
            continue
        try:
            run_plan([step], pack, place, networks={})
        except DivergedError as error:
            failed[step.name] = error
            work.screen.line(f"{step.name}: {error}")
            continue
        if planned.objective and work.world.first:
            about = SweepRunInfo(
                name=step.name,
                objective=planned.objective,
                role=step.settings.role,
                identity=identities[step.name],
                teacher=read_fingerprint(out / (step.compares or step.name)),
                teacher_epochs=planned.teacher_epochs,
                plain_epochs=planned.plain_epochs,
            )
            write_result(folder, out / step.name, about)
            write_sweep_page(folder)
    if failed:
        raise DivergedError(
            f"{len(failed)} of {len(left)} runs have no result; all others are done",
            where=folder.parent / f"{folder.name}.md",
            found=", ".join(failed),
            fix="a lower --student.lr, or --student.clip-grad 1, for a sweep of its own",
        )


def _identities(plan: Sequence[SweepRun], pack: Pack) -> dict[str, str]:
    """What makes a step's cell that of this step: its own settings, and those of who taught it."""
    found: dict[str, str] = {}
    for planned in plan:
        step, own = planned.step, portable_identity(planned.step.settings, pack)
        taught_by = [found[teacher] for teacher in step.teachers]
        found[step.name] = fingerprint(own, *taught_by) if taught_by else own
    return found
