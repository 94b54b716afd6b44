"""The runs of a job, as data: what is trained, under which teachers, compared with what."""

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.roles import (
    CONTROL,
    EQUAL_COMPUTE,
    PEER_CONTROL,
    STUDENT,
    TEACHER,
    UNTAUGHT,
    Role,
)
from tutelage.config.schema import shared_fields

PEER_SEED = 100_003
"""How far apart the seeds of networks are that are trained beside each other."""


class PlannedRun(NamedTuple):
    """One training run of a job."""

    name: str
    """Of the run and of its folder."""

    settings: TrainConfig

    teachers: tuple[str, ...] = ()
    """Names of the runs whose networks teach it."""

    reference: str | None = None
    """Name of the run whose predictions it is compared with."""

    student_seed: int | None = None
    """Seed of the student that it is for; None: for all of them."""

    network: Literal["teacher", "student"] | None = None
    """Which of the caller's own modules it trains, where there is one; None: the network in its settings."""

    resolve: Callable[[TrainConfig, Path], TrainConfig] | None = None
    """Settings that depend on earlier runs: (own settings, folder of `reference`) -> settings."""


def train_config(
    job: DistillConfig, network: NetworkConfig, *, role: Role, seed: int
) -> TrainConfig:
    """Derive the settings of one run of a job; an untaught run is the same under every objective."""
    common = {**shared_fields(TrainConfig, job), **shared_fields(NetworkConfig, network)}
    if role in UNTAUGHT:
        common |= shared_fields(MethodConfig, MethodConfig())
    if role != TEACHER:  # its outputs are in the order of the data's classes from then on
        common["teacher_classes"] = None
    return TrainConfig(**{**common, "teacher": (), "role": role, "seed": seed})


def student_seeds(job: DistillConfig) -> range:
    """List the seeds of a job's students."""
    return range(job.seed, job.seed + job.seeds)


def peer_seed(seed: int, number: int) -> int:
    """Seed the initial weights of the n-th peer of a student, counted from 1."""
    return seed + number * PEER_SEED


def plan_teacher(job: DistillConfig) -> PlannedRun:
    """Plan the teacher, which is trained once for all seeds."""
    settings = train_config(job, job.teacher, role=TEACHER, seed=job.seed)
    return PlannedRun("teacher", settings, network="teacher")


def plan_students(
    job: DistillConfig, seed: int, *, teachers: tuple[str, ...] = (), reference: str | None = None
) -> list[PlannedRun]:
    """Plan a student and its control: the same network, budget, seed, order and views, without a teacher."""
    student = train_config(job, job.student, role=STUDENT, seed=seed)
    control = train_config(job, job.student, role=CONTROL, seed=seed)
    return [
        PlannedRun(f"student-{seed}", student, teachers, reference, seed, "student"),
        PlannedRun(f"control-{seed}", control, (), reference, seed, "student"),
    ]


def plan_under_teacher(job: DistillConfig) -> list[PlannedRun]:
    """Plan a teacher, and for each seed a student of it and a control."""
    runs = [plan_teacher(job)]
    for seed in student_seeds(job):
        runs += plan_students(job, seed, teachers=("teacher",), reference="teacher")
    return runs


def plan_peer_controls(
    job: DistillConfig, seed: int, peers: list[tuple[str, str]]
) -> list[PlannedRun]:
    """Plan each peer of a student trained on its own: what training side by side was worth to it.

    Budget, images, their order and views are the student's, and the initial weights are those that the
    network had beside it. So a peer whose loss ignores the others would end as the same bytes.

    Args:
        job: the settings.
        seed: of the student.
        peers: their (name, network).
    """
    runs = []
    for number, (name, model) in enumerate(peers, 1):
        network = dataclasses.replace(job.student, model=model, weights="none")
        settings = dataclasses.replace(
            train_config(job, network, role=PEER_CONTROL, seed=seed),
            init_seed=peer_seed(seed, number),
        )
        run = PlannedRun(f"{name}-control-{seed}", settings, student_seed=seed)
        runs.append(run._replace(network="student") if model == job.student.model else run)
    return runs


def equal_compute_epochs(cost: Fraction, epochs: int) -> int:
    """Convert a method's cost into epochs of training without a teacher, rounded up.

    >>> equal_compute_epochs(Fraction(4, 3), 30), equal_compute_epochs(Fraction(1), 30)
    (40, 30)
    """
    return math.ceil(cost * epochs)


def plan_equal_compute(job: DistillConfig, seed: int, cost: Fraction) -> list[PlannedRun]:
    """Plan a control that trains for as long as a student that teaches itself; none where that is no longer.

    The control of equal budget sees as many images as the student. A student that runs itself twice a step,
    or is trained generation after generation, costs more, and plain training could use that time, too.
    """
    epochs = equal_compute_epochs(cost, job.student.epochs)
    if epochs == job.student.epochs:
        return []
    network = dataclasses.replace(job.student, epochs=epochs)
    settings = train_config(job, network, role=EQUAL_COMPUTE, seed=seed)
    name = f"control-equal-compute-{seed}"
    return [PlannedRun(name, settings, student_seed=seed, network="student")]
