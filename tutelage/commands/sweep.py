"""A sweep: recipes side by side, each with its students, under the same teacher and beside the same controls.

Each finished run leaves a cell, a small file that outlives its run folder: a sweep that is started again,
here or elsewhere, does what has no cell yet.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.commands.plans.registry import job_steps
from tutelage.commands.plans.step import run_steps
from tutelage.commands.plans.sweep import Planned, sweep_steps, wanted
from tutelage.commands.preflight import (
    BYTES_A_NETWORK,
    require_fit,
    require_networks,
    require_room,
    require_steps,
)
from tutelage.commands.prepare_data import prepare
from tutelage.commands.session import Work, name_of, place_of, require_there, working
from tutelage.config.job import Job
from tutelage.config.loss_weights import weights
from tutelage.config.methods import Teaching
from tutelage.config.recipes import METHOD, OBJECTIVE, read_recipe
from tutelage.config.schema import build, check, fingerprint, shared
from tutelage.data.pack.pack import Pack
from tutelage.engine.run_folder import essence, read_fingerprint
from tutelage.engine.runtime.device import resolve
from tutelage.engine.runtime.process_group import together
from tutelage.errors import DivergedError, UsageError
from tutelage.methods.registry import METHODS, refuse_mixtures
from tutelage.reports.sweep.page import write_grid
from tutelage.reports.sweep.results import About, known, read_cells, write_cell


def sweep(
    data: str | Path,
    settings: Job | None = None,
    *,
    compare: Mapping[str, Teaching],
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
    settings, out = settings or Job(), Path(out)
    folder = Path(cells) if cells else out / "cells"
    jobs = _jobs(settings, compare, teacher_epochs)
    for job in jobs.values():
        check(job)
        weights(job)
        refuse_mixtures(job.method, job.student)
    plan, steps = sweep_steps(jobs), {name: job_steps(job) for name, job in jobs.items()}
    for name, job in jobs.items():
        require_steps(job, steps[name], networks={})
    require_there(data, out)
    resolve(settings)
    for name in jobs:
        require_networks(steps[name], networks={})
    same = dataclasses.replace(settings, seeds=1)  # a sweep may grow
    facts = {"verb": "sweep", "data": name_of(data), "networks": []}
    with together() as world, working(out, same, facts, world, resume=True, quiet=quiet) as work:
        pack = prepare(data, settings.data, out, screen=work.screen, stop=work.stop, world=world)
        for name, job in jobs.items():
            require_fit(job, steps[name], pack, networks={})
        there, identities = read_cells(folder), _identities(plan, pack)
        kept = [planned for planned in plan if planned.objective]
        missing = {
            p.step.name
            for p in kept
            if not known(there, p.objective or "", p.step.settings.seed, identities[p.step.name])
        }
        work.screen.line(f"sweep: {len(kept) - len(missing)} of {len(kept)} runs have a cell")
        left = wanted(plan, missing)
        require_room(out, BYTES_A_NETWORK * len(left))
        _carry_out(left, identities, pack, settings, out, folder, work)
        with work.stop.at_once():
            return write_grid(folder)


def teaching_of(recipe: str) -> Teaching:
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
    return build(Teaching, own, where=recipe)


def _jobs(
    settings: Job, compare: Mapping[str, Teaching], teacher_epochs: Sequence[int]
) -> dict[str, Job]:
    jobs = {}
    for name, teaching in compare.items():
        if name in ("teacher", "control", "longer"):
            raise UsageError(f"what is compared cannot be called {name}")
        job = dataclasses.replace(settings, **shared(Teaching, teaching))
        if not (teacher_epochs and METHODS[job.method].taught):
            jobs[name] = job
            continue
        for epochs in teacher_epochs:
            teacher = dataclasses.replace(settings.teacher, epochs=epochs)
            jobs[f"{name}@{epochs}"] = dataclasses.replace(job, teacher=teacher)
    return jobs


def _carry_out(
    left: Sequence[Planned],
    identities: Mapping[str, str],
    pack: Pack,
    settings: Job,
    out: Path,
    folder: Path,
    work: Work,
) -> None:
    """Do what is left; a run that diverges stops those it would have taught, and nothing else."""
    place, failed = place_of(settings, "sweep", out, work), dict[str, DivergedError]()
    for planned in left:
        work.stop.poll()
        step = planned.step
        needs = {*step.teachers, *filter(None, [step.compares])}
        if needs & failed.keys():
            failed[step.name] = failed[min(needs & failed.keys())]
            continue
        try:
            run_steps([step], pack, place, networks={})
        except DivergedError as error:
            failed[step.name] = error
            work.screen.line(f"{step.name}: {error}")
            continue
        if planned.objective and work.world.first:
            about = About(
                name=step.name,
                objective=planned.objective,
                role=step.settings.role,
                identity=identities[step.name],
                teacher=read_fingerprint(out / (step.compares or step.name)),
                teacher_epochs=planned.teacher_epochs,
                plain_epochs=planned.plain_epochs,
            )
            write_cell(folder, out / step.name, about)
            write_grid(folder)
    if failed:
        raise DivergedError(
            f"{len(failed)} of {len(left)} runs have no result; all others are done",
            where=folder.parent / f"{folder.name}.md",
            found=", ".join(failed),
            fix="a lower --student.lr, or --student.clip 1, for a sweep of its own",
        )


def _identities(plan: Sequence[Planned], pack: Pack) -> dict[str, str]:
    """What makes a step's cell that of this step: its own settings, and those of who taught it."""
    found: dict[str, str] = {}
    for planned in plan:
        step, own = planned.step, essence(planned.step.settings, pack)
        taught_by = [found[teacher] for teacher in step.teachers]
        found[step.name] = fingerprint(own, *taught_by) if taught_by else own
    return found
