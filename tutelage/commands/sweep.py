"""A sweep: recipes side by side, each with its students, under the same teacher and beside the same controls.

Each finished run leaves a cell, a small file that outlives its run folder: a sweep that is started again,
here or elsewhere, does what has no cell yet.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.commands.preflight import (
    BYTES_A_NETWORK,
    Job,
    preflight,
    preflight_data,
    require_room,
)
from tutelage.commands.prepare_data import prepare_data
from tutelage.commands.run_plan import progress_of, run_plan
from tutelage.commands.session import data_name, job_session
from tutelage.commands.sweep_plan import SweepRun, plan_sweep, runs_needed
from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.recipes import METHOD, OBJECTIVE, read_recipe
from tutelage.config.roles import CONTROL, EQUAL_COMPUTE, TEACHER
from tutelage.config.schema import build, fingerprint, shared_fields
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run_folder import portable_identity, read_fingerprint
from tutelage.engine.runtime.process_group import process_group
from tutelage.errors import DivergedError, UsageError
from tutelage.methods.registry import plan_job, spec_of
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
    """Compare methods and losses with each other and with training without a teacher.

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
    compared = _jobs(settings, compare, teacher_epochs)
    jobs = [Job(job, plan_job(job), {}) for job in compared.values()]
    preflight(jobs, data, out)
    plan = plan_sweep(compared)
    same = dataclasses.replace(settings, seeds=1)  # a sweep may grow
    facts = {"verb": "sweep", "data": data_name(data), "networks": []}
    with (
        process_group() as world,
        job_session(out, "sweep", same, facts, world, resume=True, quiet=quiet) as session,
    ):
        context = session.context
        pack = prepare_data(data, settings.data, context)
        preflight_data(jobs, pack)
        there, identities = read_results(folder), _identities(plan, pack)
        kept = [planned for planned in plan if planned.objective]
        missing = {
            p.run.name
            for p in kept
            if not known_results(
                there, p.objective or "", p.run.settings.seed, identities[p.run.name]
            )
        }
        context.line(f"{len(kept) - len(missing)} of {len(kept)} runs have a cell")
        left = runs_needed(plan, missing)
        require_room(out, BYTES_A_NETWORK * len(left))
        _carry_out(left, identities, pack, folder, context)
        with context.stop.at_once():
            return write_sweep_page(folder)


def method_of(recipe: str) -> MethodConfig:
    """Read method and losses of a recipe, whatever else it sets.

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
        if name in (TEACHER, CONTROL, EQUAL_COMPUTE):
            raise UsageError(f"what is compared cannot be called {name}")
        job = dataclasses.replace(settings, **shared_fields(MethodConfig, teaching))
        if not (teacher_epochs and spec_of(job).needs_teacher):
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
    folder: Path,
    context: RunContext,
) -> None:
    """Do what is left; a run that diverges stops those it would have taught, and nothing else."""
    out, failed = context.folder, dict[str, DivergedError]()
    context.console.progress = progress_of([planned.run for planned in left])
    for planned in left:
        context.stop.poll()
        run = planned.run
        needs = {*run.teachers, *filter(None, [run.reference])}
        if needs & failed.keys():
            failed[run.name] = failed[min(needs & failed.keys())]
            continue
        try:
            run_plan([run], pack, context, networks={})
        except DivergedError as error:
            failed[run.name] = error
            context.console.line(f"{run.name}: {error}")
            continue
        if planned.objective and context.world.first:
            about = SweepRunInfo(
                name=run.name,
                objective=planned.objective,
                role=run.settings.role,
                identity=identities[run.name],
                teacher=read_fingerprint(out / (run.reference or run.name)),
                teacher_epochs=planned.teacher_epochs,
                plain_epochs=planned.plain_epochs,
            )
            write_result(folder, out / run.name, about)
            write_sweep_page(folder)
    if failed:
        raise DivergedError(
            f"{len(failed)} of {len(left)} runs have no result; all others are done",
            where=folder.parent / f"{folder.name}.md",
            found=", ".join(failed),
            fix="a lower --student.lr, or --student.clip-grad 1, for a sweep of its own",
        )


def _identities(plan: Sequence[SweepRun], pack: Pack) -> dict[str, str]:
    """Name each run by its own settings and those of its teachers, whatever machine it runs on."""
    found: dict[str, str] = {}
    for planned in plan:
        run, own = planned.run, portable_identity(planned.run.settings, pack)
        teachers = [found[teacher] for teacher in run.teachers]
        found[run.name] = fingerprint(own, *teachers) if teachers else own
    return found
