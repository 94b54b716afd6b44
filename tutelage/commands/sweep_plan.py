"""The plan of a sweep: several jobs side by side, in which a run that two of them need is done once."""

from collections.abc import Mapping
from typing import NamedTuple

from tutelage.config.job import DistillConfig
from tutelage.config.roles import CONTROL, EQUAL_COMPUTE, PEER_CONTROL, STUDENT, TEACHER
from tutelage.methods.plan import PlannedRun, equal_compute_epochs, student_seeds
from tutelage.methods.registry import plan_job, spec_of

TABLE_ROLES = (STUDENT, CONTROL, EQUAL_COMPUTE)
"""Roles whose runs make the table; teachers that students are compared with stand above it."""


class SweepRun(NamedTuple):
    """A run of a sweep, and how its result is filed."""

    run: PlannedRun

    objective: str | None
    """What its row in the table is called; None: it has none."""

    plain_epochs: int
    """Epochs of training without a teacher that cost as much."""

    teacher_epochs: int | None
    """Epochs of its finished teacher; None: it has none."""


def plan_sweep(jobs: Mapping[str, DistillConfig]) -> list[SweepRun]:
    """List the runs of several jobs of the same seeds, seed by seed, so that one seed of all is soon done.

    A student of `kd` and seed 0 is `kd-0`. Any other run has the name that its job gives it, with the name
    of the job before it where another run has that name. Controls of peers are left out.
    """
    found: list[SweepRun] = []
    known: dict[tuple[str, tuple[str, ...]], str] = {}
    names: dict[tuple[str, str], str] = {}
    plans = {objective: plan_job(job) for objective, job in jobs.items()}
    for seed in next((student_seeds(job) for job in jobs.values()), range(0)):
        for objective, steps in plans.items():
            for step in steps:
                if step.student_seed not in (None, seed) or step.settings.role == PEER_CONTROL:
                    continue
                teachers = tuple(names[objective, teacher] for teacher in step.teachers)
                run = (repr(step.settings), teachers)
                if run not in known:
                    taken = set(known.values())
                    known[run] = _name(step, objective, taken)
                    reference = names[objective, step.reference] if step.reference else None
                    own = step._replace(name=known[run], teachers=teachers, reference=reference)
                    found.append(_planned(own, objective, jobs[objective]))
                names[objective, step.name] = known[run]
    held_to = {planned.run.reference for planned in found}
    return [_with_cell(planned, held_to) for planned in found]


def _name(step: PlannedRun, objective: str, taken: set[str]) -> str:
    if step.settings.role == STUDENT:
        return f"{objective}-{step.student_seed}"
    return f"{objective}-{step.name}" if step.name in taken else step.name


def _planned(step: PlannedRun, objective: str, job: DistillConfig) -> SweepRun:
    spec, epochs = spec_of(job), step.settings.epochs
    if step.settings.role != STUDENT:
        return SweepRun(step, step.settings.role, epochs, None)
    plain = equal_compute_epochs(spec.step_cost(job.methods), epochs)
    return SweepRun(step, objective, plain, job.teacher.epochs if spec.needs_teacher else None)


def _with_cell(planned: SweepRun, held_to: set[str | None]) -> SweepRun:
    """Give a run a result file only where the table shows it."""
    step = planned.run
    teacher = step.settings.role == TEACHER and step.name in held_to
    shown = teacher or step.settings.role in TABLE_ROLES
    return planned if shown else planned._replace(objective=None)


def runs_needed(plan: list[SweepRun], missing: set[str]) -> list[SweepRun]:
    """Select the missing runs and those that they need, in the order of the plan."""
    by_name = {planned.run.name: planned.run for planned in plan}
    needed, open_ = set(missing), list(missing)
    while open_:
        step = by_name[open_.pop()]
        for name in (*step.teachers, *filter(None, [step.reference])):
            if name not in needed:
                needed.add(name)
                open_.append(name)
    return [planned for planned in plan if planned.run.name in needed]
