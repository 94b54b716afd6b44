"""A sweep: one teacher, and for each seed a control and a student of every objective, as one plan.

Each finished run leaves a cell, a small file that outlives its run folder: a sweep that is started again,
here or elsewhere, does what has no cell yet.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.config import build, check, fingerprint
from tutelage.cookbook import OBJECTIVE, read_recipe
from tutelage.data.pack import Pack
from tutelage.engine.precision import resolve
from tutelage.engine.preflight import (
    require_batch,
    require_lesson,
    require_network,
    require_rest,
)
from tutelage.engine.processes import together
from tutelage.errors import UsageError
from tutelage.losses.settings import Objective, weights
from tutelage.plans.step import Step, run_steps
from tutelage.plans.sweep import sweep_steps
from tutelage.preparing import prepare
from tutelage.reports.cells import known, read_cells, write_cell
from tutelage.reports.grid import write_grid
from tutelage.run_folder import essence, read_fingerprint
from tutelage.settings import Job
from tutelage.working import name_of, place_of, working


def sweep(
    data: str | Path,
    settings: Job | None = None,
    *,
    objectives: Mapping[str, Objective],
    out: str | Path,
    cells: str | Path | None = None,
    quiet: bool = False,
) -> Path:
    """Compare objectives with each other and with no teacher at all.

    Args:
        data: as for `tutelage.run`.
        settings: of teacher and students; their objective is not used.
        objectives: what students minimise, by name.
        out: folder of the runs; a sweep that is already in it is continued.
        cells: folder of the cells; `cells` below `out` where not given.
        quiet: print nothing.

    Returns:
        The path of the table, a Markdown file beside the folder of the cells.

    Raises:
        TutelageError: see `tutelage.errors`.
    """
    settings, out = settings or Job(), Path(out)
    folder = Path(cells) if cells else out / "cells"
    check(settings)
    for name, objective in objectives.items():
        check(objective)
        weights(objective)
        if name in ("teacher", "control"):
            raise UsageError(f"an objective cannot be called {name}")
    resolve(settings)
    require_network(settings.teacher, flag="--teacher.")
    require_network(settings.student, flag="--student.")
    steps = sweep_steps(settings, objectives)
    same = dataclasses.replace(settings, seeds=1)  # a sweep may grow
    facts = {"verb": "sweep", "data": name_of(data), "networks": []}
    with together() as world, working(out, same, facts, world, resume=True, quiet=quiet) as work:
        pack = prepare(data, settings.data, out, screen=work.screen, stop=work.stop, world=world)
        for role, trainee in (("teacher", settings.teacher), ("student", settings.student)):
            require_batch(trainee.batch_size, len(pack.rows("train")), flag=f"--{role}.")
        for objective in objectives.values():
            require_rest(
                objective, settings.student.batch_size, len(pack.rows("train")), flag="--student."
            )
            require_lesson(objective, settings.student, settings.teacher, pack)
        there = read_cells(folder)
        identities = _identities(steps, pack)
        missing = [s for s in steps if not known(there, *_cell_of(s), identities[s.name])]
        work.screen.line(f"sweep: {len(steps) - len(missing)} of {len(steps)} runs have a cell")
        if missing and missing[0] is not steps[0]:
            missing = steps[:1] + missing  # all others need the teacher, whose cell may be there

        def keep(step: Step, run: Path) -> None:
            if world.first:
                objective, _ = _cell_of(step)
                taught_by = read_fingerprint(out / "teacher")
                identity = identities[step.name]
                write_cell(folder, run, objective=objective, identity=identity, teacher=taught_by)
                write_grid(folder)

        run_steps(missing, pack, place_of(settings, "sweep", out, work), networks={}, after=keep)
    return write_grid(folder)


def objective_of(recipe: str) -> Objective:
    """The objective of a recipe, whatever else it says.

    Raises:
        UsageError: no such recipe, or one without an objective.
    """
    found = read_recipe(recipe).table
    own: dict[str, Any] = {key: found[key] for key in OBJECTIVE & found.keys()}
    if not own:
        raise UsageError(f"the recipe {recipe} names no terms and no alpha", fix="tutelage recipes")
    return build(Objective, own, where=recipe)


def _identities(steps: Sequence[Step], pack: Pack) -> dict[str, str]:
    """What makes a step's cell that of this step: its own settings, and those of who taught it."""
    own = {step.name: essence(step.settings, pack) for step in steps}
    return {
        step.name: fingerprint(own[step.name], *(own[teacher] for teacher in step.teachers))
        if step.teachers
        else own[step.name]
        for step in steps
    }


def _cell_of(step: Step) -> tuple[str, int]:
    """The objective and the seed that a step stands for."""
    name = step.name if step.name == "teacher" else step.name.rpartition("-")[0]
    return name, step.settings.seed
