"""The plan of a sweep: several jobs side by side, in which a run that two of them need is done once."""

from collections.abc import Mapping
from typing import NamedTuple

from tutelage.commands.plans.equal_compute import equal_compute_epochs
from tutelage.commands.plans.registry import plan_job
from tutelage.commands.plans.step import PlannedRun, student_seeds
from tutelage.config.job import DistillConfig
from tutelage.methods.registry import METHODS

TABLE_ROLES = ("student", "control", "control-equal-compute")
"""Roles whose runs a table is made of; teachers that students are held to are told beside it."""


class SweepRun(NamedTuple):
    """A run of a sweep.

    objective: what its cell is called, None where it leaves none; plain_epochs: of training without a
    teacher that costs as much; teacher_epochs: of the finished teacher, None where there is none.
    """

    step: PlannedRun
    objective: str | None
    plain_epochs: int
    teacher_epochs: int | None


def plan_sweep(jobs: Mapping[str, DistillConfig]) -> list[SweepRun]:
    """The runs of several jobs of the same seeds, seed by seed, so that one seed of all is soon there.

    A student of `kd` and seed 0 is `kd-0`. Any other run has the name that its job gives it, with the name
    of the job before it where another run has that name. Companions are not trained alone here.
    """
    found: list[SweepRun] = []
    known: dict[tuple[str, tuple[str, ...]], str] = {}
    names: dict[tuple[str, str], str] = {}
    plans = {objective: plan_job(job) for objective, job in jobs.items()}
    for seed in next((student_seeds(job) for job in jobs.values()), range(0)):
        for objective, steps in plans.items():
            for step in steps:
                if step.serves not in (None, seed) or step.settings.role == "peer-control":
                    continue
                teachers = tuple(names[objective, teacher] for teacher in step.teachers)
                run = (repr(step.settings), teachers)
                if run not in known:
                    taken = set(known.values())
                    known[run] = _name(step, objective, taken)
                    compares = names[objective, step.compares] if step.compares else None
                    own = step._replace(name=known[run], teachers=teachers, compares=compares)
                    found.append(_planned(own, objective, jobs[objective]))
                names[objective, step.name] = known[run]
    held_to = {planned.step.compares for planned in found}
    return [_with_cell(planned, held_to) for planned in found]


def _name(step: PlannedRun, objective: str, taken: set[str]) -> str:
    if step.settings.role == "student":
        return f"{objective}-{step.serves}"
    return f"{objective}-{step.name}" if step.name in taken else step.name


def _planned(step: PlannedRun, objective: str, job: DistillConfig) -> SweepRun:
    about, student = METHODS[job.method], step.settings.role == "student"
    taught = about.taught and student
    return SweepRun(
        step,
        objective if student else step.settings.role,
        equal_compute_epochs(job, step.settings.epochs) if student else step.settings.epochs,
        job.teacher.epochs if taught else None,
    )


def _with_cell(planned: SweepRun, held_to: set[str | None]) -> SweepRun:
    """A run is kept as a cell where the table shows it."""
    step = planned.step
    teacher = step.settings.role == "teacher" and step.name in held_to
    shown = teacher or step.settings.role in TABLE_ROLES
    return planned if shown else planned._replace(objective=None)


def runs_needed(plan: list[SweepRun], missing: set[str]) -> list[SweepRun]:
    """The runs that are missing, and those that must be there before them, in the order of the plan."""
    by_name = {planned.step.name: planned.step for planned in plan}
    needed, open_ = set(missing), list(missing)
    while open_:
        step = by_name[open_.pop()]
        for name in (*step.teachers, *filter(None, [step.compares])):
            if name not in needed:
                needed.add(name)
                open_.append(name)
    return [planned for planned in plan if planned.step.name in needed]
