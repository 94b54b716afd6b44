"""The plan of specialists: a generalist, one network for each group of classes it mixes up, then students.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5. The groups are found when the generalist is
there, so that a plan has as many specialists as there are clusters; those that get no group train nothing.
"""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from tutelage.commands.plans.step import (
    PlannedRun,
    plan_students,
    plan_teacher,
    student_seeds,
    train_config,
)
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.teacher import SpecialistConfig
from tutelage.errors import InputError, UsageError
from tutelage.models.metadata import read_metadata
from tutelage.models.model_folder import network_folder
from tutelage.storage.run_results import open_results
from tutelage.teachers.confusion_groups import confusable_groups


def plan_specialists(job: DistillConfig) -> list[PlannedRun]:
    """`teacher` -> `specialist-1`, ... -> for each seed a student of all of them, and a control.

    Specialists are trained as the generalist is, from its weights on, for epochs and with a seed of their
    own, and on no mixtures of two images, of which half could not be of one kind.
    """
    own = job.methods.specialists
    epochs = own.epochs or job.teacher.epochs
    trainee = dataclasses.replace(
        job.teacher, epochs=epochs, mixup=None, cutmix=None, keep_checkpoints=None
    )
    steps = [plan_teacher(job)]
    for number in range(1, own.groups + 1):
        settings = dataclasses.replace(
            train_config(job, trainee, role="specialist", seed=job.seed + number),
            specialist=SpecialistConfig(clusters=own.groups, number=number),
        )
        steps.append(
            PlannedRun(
                f"specialist-{number}",
                settings,
                ("teacher",),
                "teacher",
                makes="teacher",
                settle=_with_its_group,
            )
        )
    names = tuple(step.name for step in steps)
    for seed in student_seeds(job):
        student, control = plan_students(job, seed, teachers=names, compares="teacher")
        steps += [student._replace(settle=_with_those_there_are), control]
    return steps


def require_specialists(job: DistillConfig, classes: int | None = None) -> None:
    """Specialists can be trained, and there are fewer groups than classes.

    Args:
        job: whose method is `specialists`.
        classes: of the data, where they are known.

    Raises:
        UsageError: they cannot, or there are not.
    """
    own = job.methods.specialists
    if not (own.epochs or job.teacher.epochs):
        raise UsageError(
            "specialists without training: their last layer would stay random",
            found="teacher.epochs = 0, methods.specialists.epochs unset",
            fix="--methods.specialists.epochs 5",
        )
    if classes is not None and own.groups >= classes:
        raise UsageError(
            "as many groups as classes, or more: no two classes would be in one",
            found=f"methods.specialists.groups = {own.groups}, {classes} classes",
            expected=f"at least 2 and at most {classes - 1}" if classes > 2 else "three classes",
            fix="--methods.specialists.groups 2",
        )


def find_groups(generalist: Path, clusters: int) -> tuple[tuple[str, ...], ...]:
    """The names of the classes that a generalist mixes up, group by group, by the validation images.

    Args:
        generalist: its run folder.
        clusters: that its classes fall into.

    Raises:
        InputError: all classes are in one group, or none is.
    """
    # The names as they are, which a report would make safe to show.
    classes = read_metadata(network_folder(generalist))["classes"]
    found = _grouped(generalist, (generalist / "run.json").stat().st_mtime_ns, clusters)
    groups = [group for group in found if len(group) < len(classes)]
    if not groups:
        raise InputError(
            "no group of classes is mixed up more than others",
            where=generalist,
            found="all classes alike" if found else "every class by itself",
            expected="a generalist that has learned to tell some of them apart",
            fix="more --teacher.epochs, or another --methods.specialists.groups",
        )
    return tuple(tuple(classes[number] for number in group) for group in groups)


@cache
def _grouped(generalist: Path, _modified: int, clusters: int) -> tuple[tuple[int, ...], ...]:
    """Found once, not for every specialist: with a thousand classes that takes seconds."""
    logits = open_results(generalist).logits("val").astype(np.float64)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return confusable_groups(weights / weights.sum(axis=1, keepdims=True), clusters)


def _with_its_group(settings: TrainConfig, generalist: Path) -> TrainConfig:
    """A specialist's settings with the classes of its group, none where it gets no group."""
    own = settings.specialist
    assert own.clusters is not None
    assert own.number is not None
    groups = find_groups(generalist, own.clusters)
    classes = groups[own.number - 1] if own.number <= len(groups) else ()
    return dataclasses.replace(settings, specialist=dataclasses.replace(own, classes=classes))


def _with_those_there_are(settings: TrainConfig, generalist: Path) -> TrainConfig:
    """A student's settings with the specialists that have a group as its teachers."""
    count = len(find_groups(generalist, settings.methods.specialists.groups))
    return dataclasses.replace(settings, teacher=settings.teacher[: 1 + count])
