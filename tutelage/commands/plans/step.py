"""A plan: runs that depend on each other, each recognised by its fingerprint and skipped when finished.

    pack -> teachers, assistants, generations -> for each seed a student and its controls -> report

Which runs there are is said by the other files of this folder, one for each plan.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from tutelage.config.job import UNTAUGHT, DistillConfig, NetworkConfig, TrainConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.objective import DEFAULT_ALPHA
from tutelage.config.renamed import first_run_name
from tutelage.config.schema import shared_fields
from tutelage.data.pack.pack import Pack
from tutelage.engine.run import Networks, Place, train_one
from tutelage.errors import Interrupted
from tutelage.storage.checksums import write_sealed


class PlannedRun(NamedTuple):
    """One run of a plan.

    teachers: the steps whose networks teach; compares: whose answers it is held to; serves: the seed of the
    student that it is for, None where it is for all of them; makes: which of the caller's own makers makes
    its network, None where its settings name it anyhow; settle: settings that hang on what earlier runs
    found, made of its own settings and the folder of the run it `compares` with.
    """

    name: str
    settings: TrainConfig
    teachers: tuple[str, ...] = ()
    compares: str | None = None
    serves: int | None = None
    makes: Literal["teacher", "student"] | None = None
    settle: Callable[[TrainConfig, Path], TrainConfig] | None = None


def train_config(
    job: DistillConfig, trainee: NetworkConfig, *, role: str, seed: int
) -> TrainConfig:
    """The settings of one run of a job; one that nobody teaches is the same run under every objective."""
    common = {**shared_fields(TrainConfig, job), **shared_fields(NetworkConfig, trainee)}
    if role in UNTAUGHT:
        common |= shared_fields(MethodConfig, MethodConfig())
    return TrainConfig(**{**common, "teacher": (), "role": role, "seed": seed})


def student_seeds(job: DistillConfig) -> range:
    """The seeds of a job's students."""
    return range(job.seed, job.seed + job.seeds)


def plan_teacher(job: DistillConfig) -> PlannedRun:
    """The teacher, which is trained once for all seeds."""
    settings = train_config(job, job.teacher, role="teacher", seed=job.seed)
    return PlannedRun("teacher", settings, makes="teacher")


def plan_students(
    job: DistillConfig, seed: int, *, teachers: tuple[str, ...] = (), compares: str | None = None
) -> list[PlannedRun]:
    """A student, and its control: the same network, budget, seed, order and views, and nobody who teaches."""
    taught = train_config(job, job.student, role="student", seed=seed)
    alone = train_config(job, job.student, role="control", seed=seed)
    return [
        PlannedRun(f"student-{seed}", taught, teachers, compares, serves=seed, makes="student"),
        PlannedRun(f"control-{seed}", alone, compares=compares, serves=seed, makes="student"),
    ]


def run_plan(
    steps: list[PlannedRun],
    pack: Pack,
    place: Place,
    *,
    networks: Networks,
    after: Callable[[PlannedRun, Path], None] = lambda _step, _folder: None,
) -> None:
    """Do what is not done yet, step by step, in folders below that of the job's place.

    Args:
        steps: the runs.
        pack: the images.
        place: of the job.
        networks: makers of modules of the caller's own.
        after: told each run and its folder when it is finished.

    Raises:
        Interrupted: asked to stop, between two runs or within one.
    """
    folder, makes = place.folder, {step.name: step.makes for step in steps}
    for step in steps:
        if any(place.world.everyone(bool(place.stop))):
            raise Interrupted(f"stopped before {step.name}; nothing is lost", where=folder)
        settings = step.settings
        if step.teachers:
            teachers = tuple(str(folder / teacher) for teacher in step.teachers)
            settings = dataclasses.replace(settings, teacher=teachers)
        reference = folder / step.compares if step.compares else None
        if step.settle is not None and reference is not None:
            settings = step.settle(settings, reference)
        own = place._replace(name=step.name, folder=folder / step.name, reference=reference)
        make = networks.get(step.makes or "")
        makers = [networks.get(makes.get(teacher) or "") for teacher in step.teachers]
        after(step, train_one(settings, pack, own, make=make, makers=makers))


def with_old_folders(steps: list[PlannedRun], folder: Path) -> list[PlannedRun]:
    """Let runs stay in the folders that an earlier version gave them; no other run needs those by name."""
    names = {step.name: first_run_name(step.name) for step in steps}
    return [
        step._replace(name=names[step.name]) if (folder / names[step.name]).is_dir() else step
        for step in steps
    ]


def write_plan(
    job: DistillConfig,
    steps: list[PlannedRun],
    folder: Path,
    *,
    recipe: str,
    ensembles: Mapping[str, list[str]] | None = None,
) -> None:
    """Write what the report reads: the method, the runs, their roles, and the two numbers of the objective.

    `ensembles` are runs whose mean answer is reported, too, by the name of the student they belong to.
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
            {"name": s.name, "role": s.settings.role, "seed": s.settings.seed, "folder": s.name}
            for s in steps
        ],
        "ensembles": dict(ensembles or {}),
    }
    write_sealed(folder / "plan.json", facts)
