"""A plan: runs that depend on each other, each recognised by its fingerprint and skipped when finished.

The whole job is one plan: pack -> teacher -> for each seed a student and a control -> report. A control
is the same student with the same budget, seed, order and views, but without the teacher.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tutelage.config import shared
from tutelage.data.pack import Pack
from tutelage.errors import Interrupted
from tutelage.files import write_json
from tutelage.losses.settings import DEFAULT_ALPHA, Objective
from tutelage.settings import Job, Single, Trainee
from tutelage.single import Networks, Place, run_single


class Step(NamedTuple):
    """One run of a plan. teachers: the steps whose networks teach; compares: whose answers it is held to."""

    name: str
    settings: Single
    teachers: tuple[str, ...] = ()
    compares: str | None = None


def job_steps(job: Job) -> list[Step]:
    """The runs of a whole job, in an order that respects who needs whom."""
    steps = [Step("teacher", _single(job, job.teacher, role="teacher", seed=job.seed))]
    for seed in range(job.seed, job.seed + job.seeds):
        taught = _single(job, job.student, role="student", seed=seed)
        alone = _single(job, job.student, role="control", seed=seed)
        steps.append(Step(f"student-{seed}", taught, teachers=("teacher",), compares="teacher"))
        steps.append(Step(f"control-{seed}", alone, compares="teacher"))
    return steps


def sweep_steps(job: Job, objectives: Mapping[str, Objective]) -> list[Step]:
    """The runs of a sweep: one teacher, and for each seed a control and a student of each objective."""
    steps = [Step("teacher", _single(job, job.teacher, role="teacher", seed=job.seed))]
    for seed in range(job.seed, job.seed + job.seeds):
        alone = _single(job, job.student, role="control", seed=seed)
        steps.append(Step(f"control-{seed}", alone, compares="teacher"))
        for name, objective in objectives.items():
            own = dataclasses.replace(
                job, alpha=objective.alpha, terms=objective.terms, own=objective.own
            )
            taught = _single(own, job.student, role="student", seed=seed)
            steps.append(Step(f"{name}-{seed}", taught, teachers=("teacher",), compares="teacher"))
    return steps


def _single(job: Job, trainee: Trainee, *, role: str, seed: int) -> Single:
    common = {**shared(Single, job), **shared(Trainee, trainee)}
    return Single(**{**common, "teacher": (), "role": role, "seed": seed})


def run_steps(
    steps: list[Step],
    pack: Pack,
    place: Place,
    *,
    networks: Networks,
    after: Callable[[Step, Path], None] = lambda _step, _folder: None,
) -> None:
    """Do what is not done yet, step by step, in folders below that of the job's place.

    Args:
        steps: the runs.
        pack: the pictures.
        place: of the job.
        networks: makers of modules of the caller's own.
        after: told each run and its folder when it is finished.

    Raises:
        Interrupted: asked to stop, between two runs or within one.
    """
    folder = place.folder
    for step in steps:
        if any(place.world.everyone(bool(place.stop))):
            raise Interrupted(f"stopped before {step.name}; nothing is lost", where=folder)
        settings = step.settings
        if step.teachers:
            teachers = tuple(str(folder / teacher) for teacher in step.teachers)
            settings = dataclasses.replace(settings, teacher=teachers)
        reference = folder / step.compares if step.compares else None
        own = place._replace(name=step.name, folder=folder / step.name, reference=reference)
        make = networks.get("teacher" if settings.role == "teacher" else "student")
        after(step, run_single(settings, pack, own, make=make))


def write_plan(job: Job, steps: list[Step], folder: Path, *, recipe: str) -> None:
    """Write what the report reads: the runs, their roles, and the two numbers of the objective."""
    kd = job.terms.kd
    facts = {
        "format": 1,
        "recipe": recipe,
        "title": job.title,
        "temperature": kd.temperature if kd else None,
        "alpha": DEFAULT_ALPHA if job.alpha is None else job.alpha,
        "runs": [
            {"name": s.name, "role": s.settings.role, "seed": s.settings.seed, "folder": s.name}
            for s in steps
        ],
    }
    write_json(folder / "plan.json", facts)
