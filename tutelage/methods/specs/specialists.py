"""Specialists: a generalist, and a network for each group of classes that it confuses.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5. The groups are found when the generalist is
trained, so a job plans as many specialists as there are clusters; those that get no group train nothing.
"""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.roles import SPECIALIST
from tutelage.config.teacher import SpecialistConfig
from tutelage.errors import InputError, UsageError
from tutelage.methods.confusion_groups import confusable_groups
from tutelage.methods.plan import (
    PlannedRun,
    plan_students,
    plan_teacher,
    student_seeds,
    train_config,
)
from tutelage.methods.spec import MethodSpec
from tutelage.models.metadata import read_metadata
from tutelage.storage.run_results import open_results


def _plan(_spec: MethodSpec, job: DistillConfig) -> list[PlannedRun]:
    """Plan `teacher` -> `specialist-1`, ... -> for each seed a student of all of them, and a control.

    Specialists are trained as the generalist is, from its weights, for epochs and with a seed of their own,
    and on no mixtures of two images, of which half could not be of one kind.
    """
    own = job.methods.specialists
    network = dataclasses.replace(
        job.teacher,
        epochs=own.epochs or job.teacher.epochs,
        mixup=None,
        cutmix=None,
        keep_checkpoints=None,
    )
    runs = [plan_teacher(job)]
    for number in range(1, own.groups + 1):
        settings = dataclasses.replace(
            train_config(job, network, role=SPECIALIST, seed=job.seed + number),
            specialist=SpecialistConfig(clusters=own.groups, number=number),
        )
        runs.append(
            PlannedRun(
                f"specialist-{number}",
                settings,
                teachers=("teacher",),
                reference="teacher",
                network="teacher",
                resolve=_with_group,
            )
        )
    names = tuple(run.name for run in runs)
    for seed in student_seeds(job):
        student, control = plan_students(job, seed, teachers=names, reference="teacher")
        runs += [student._replace(resolve=_with_specialists), control]
    return runs


def _check_job(
    job: DistillConfig, *, classes: int | None = None, own_teacher: bool = False
) -> None:
    """Refuse specialists that could not be trained, and as many groups as classes.

    Args:
        job: the settings.
        classes: how many the data have, where it is known.
        own_teacher: whether the teacher is a module of the caller's own.

    Raises:
        UsageError: it cannot be done.
    """
    own = job.methods.specialists
    if not (own.epochs or job.teacher.epochs):
        raise UsageError(
            "specialists without training: their last layer would stay random",
            found="teacher.epochs = 0, methods.specialists.epochs unset",
            fix="--methods.specialists.epochs 5",
        )
    if own_teacher:
        raise UsageError(
            "specialists begin as their teacher without its last layer, known for named networks only",
            found="a teacher that is a module of your own",
            fix="a timm name for the teacher, or another method",
        )
    if classes is not None and own.groups >= classes:
        raise UsageError(
            "as many groups as classes, or more: no two classes would be in one",
            found=f"methods.specialists.groups = {own.groups}, {classes} classes",
            expected=f"at least 2 and at most {classes - 1}" if classes > 2 else "three classes",
            fix="--methods.specialists.groups 2",
        )


def _check_teachers(_settings: MethodConfig, count: int) -> None:
    if count < 2:
        raise UsageError(
            "a generalist without specialists",
            found=f"{count} teachers",
            fix="tutelage run --method specialists, which trains them",
        )


def find_groups(generalist: Path, clusters: int) -> tuple[tuple[str, ...], ...]:
    """Find the classes that a generalist confuses on the validation images, group by group.

    Args:
        generalist: its run folder.
        clusters: how many clusters all classes are divided into.

    Returns:
        The names of the classes of each group of two or more.

    Raises:
        InputError: all classes are in one group, or none is.
    """
    # The names as they are, which a report would make safe to show.
    classes = read_metadata(generalist / "model")["classes"]
    found = _grouped(generalist, (generalist / "run.json").stat().st_mtime_ns, clusters)
    groups = [group for group in found if len(group) < len(classes)]
    if not groups:
        raise InputError(
            "no group of classes is confused more than others",
            where=generalist,
            found="all classes alike" if found else "every class by itself",
            expected="a generalist that has learned to tell some of them apart",
            fix="more --teacher.epochs, or another --methods.specialists.groups",
        )
    return tuple(tuple(classes[number] for number in group) for group in groups)


@cache
def _grouped(generalist: Path, _modified: int, clusters: int) -> tuple[tuple[int, ...], ...]:
    """Cluster once, not for every specialist: with a thousand classes that takes seconds."""
    logits = open_results(generalist).logits("val").astype(np.float64)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return confusable_groups(weights / weights.sum(axis=1, keepdims=True), clusters)


def _with_group(settings: TrainConfig, generalist: Path) -> TrainConfig:
    """Give a specialist the classes of its group; none where there is no group for it."""
    own = settings.specialist
    assert own.clusters is not None
    assert own.number is not None
    groups = find_groups(generalist, own.clusters)
    classes = groups[own.number - 1] if own.number <= len(groups) else ()
    return dataclasses.replace(settings, specialist=dataclasses.replace(own, classes=classes))


def _with_specialists(settings: TrainConfig, generalist: Path) -> TrainConfig:
    """Let those specialists teach that have a group."""
    count = len(find_groups(generalist, settings.methods.specialists.groups))
    return dataclasses.replace(settings, teacher=settings.teacher[: 1 + count])


SPEC = MethodSpec(
    name="specialists",
    family="offline",
    line="a generalist and a specialist for each group of classes it confuses",
    source="Hinton 2015, arXiv:1503.02531, section 5",
    builder="factory:build_offline",
    needs_teacher=True,
    several_runs=True,
    plan=_plan,
    check_job=_check_job,
    check_teachers=_check_teachers,
    combination=lambda _options: "specialist-ensemble",
    signal=lambda _options: "logits",
    signal_name="the combined output of a generalist and its specialists",
)
