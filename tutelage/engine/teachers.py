"""The teachers of one run: opened, weighted, each asked on its own, and made one word.

Each sees images at its own size, with its own mean and standard deviation, and has a cache of its own, so
that a student of several teachers finds what another student has asked one of them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tutelage.config.job import TrainConfig
from tutelage.data.class_subset import class_subset
from tutelage.data.pack.pack import Pack, require_validation
from tutelage.engine.precompute import CheckOutputs, PreparedTeacher, Surroundings, prepare_teacher
from tutelage.errors import InputError
from tutelage.evaluation.metrics import scores_of
from tutelage.evaluation.predict import read_logits
from tutelage.losses.term import Needs
from tutelage.methods.method import Method
from tutelage.methods.multi_teacher import ensemble_temperature, require_teachers, teacher_shares
from tutelage.methods.offline import OfflineDistillation
from tutelage.models.model_folder import SavedModel
from tutelage.models.preprocess import Classifier
from tutelage.models.snapshots import SNAPSHOTS, snapshot_folders
from tutelage.models.weights import fingerprint_of
from tutelage.teachers.checkpoint_sequence import CheckpointSequence, last_epoch
from tutelage.teachers.ensemble import EnsembleTeacher, TeacherList
from tutelage.teachers.load import open_teacher
from tutelage.teachers.load_specialists import (
    combine_specialists,
    open_specialists,
    specialist_group,
)
from tutelage.teachers.sanity_check import check_teacher
from tutelage.teachers.teacher import Teacher, no_teacher

NetworkFactory = Callable[[int], nn.Module]
"""Makes a network of the caller's own, given the class count."""


def open_teachers(
    settings: TrainConfig, classes: Sequence[str], makers: Sequence[NetworkFactory | None] = ()
) -> list[SavedModel]:
    """The networks that a run's settings name; of a course, the kept checkpoints of one run, in their order.

    Args:
        settings: of the run.
        classes: of the data.
        makers: for each of `settings.teacher`, what makes it where it is a module of the caller's own, given
            the class count; empty: none is.

    Raises:
        InputError: no network there, one of other classes, or a run that kept no checkpoints.
        UsageError: another number of them than the method takes.
    """
    folders = [Path(folder) for folder in settings.teacher]
    makers = makers or [None] * len(folders)
    if settings.method == "rco" and len(folders) == 1:
        count = settings.methods.rco.checkpoints
        folders = snapshot_folders(folders[0]) or (folders if count == 1 else [])
        if not folders:
            raise InputError(
                "the teacher has kept no checkpoints",
                where=settings.teacher[0],
                expected=f"a run folder with {SNAPSHOTS}",
                fix=f"train it with --keep-checkpoints {count}, or let `tutelage run` do it",
            )
        makers = [makers[0]] * len(folders)
    if folders:
        require_teachers(settings, len(folders))
    if settings.method == "specialists" and folders:
        return open_specialists(folders, classes)
    return [
        open_teacher(folder, classes, network=make(len(classes)) if make else None)
        for folder, make in zip(folders, makers, strict=True)
    ]


def teacher_weights(
    settings: TrainConfig, teachers: Sequence[Classifier], pack: Pack, device: torch.device
) -> tuple[float, ...]:
    """How much each teacher of a run counts, adding up to 1; empty where the method is not `several`.

    For `validation`, each network is asked once about the labelled validation images, in fp32. All processes
    do it alike, so that they agree to the bit with one.

    Raises:
        InputError: no validation image has a label.
    """
    several = settings.methods.multi_teacher
    if settings.method != "multi-teacher" or not teachers:
        return ()
    if several.weigh != "validation":
        return teacher_shares(several, len(teachers))
    require_validation(pack)
    rows = pack.rows("val")
    rows = rows[pack.labels[rows] >= 0]
    losses = []
    for teacher in teachers:
        logits = read_logits(teacher.to(device).eval(), pack, rows, device=device)
        losses.append(float(scores_of(logits, pack.labels[rows], pack.classes)["nll"]))
    return teacher_shares(several, len(teachers), losses)


def prepare_teachers(
    teachers: Sequence[SavedModel],
    settings: TrainConfig,
    pack: Pack,
    method: Method,
    around: Surroundings,
    *,
    shares: Sequence[float] = (),
) -> PreparedTeacher:
    """Make the teachers of a run ready, and of their words one.

    Args:
        teachers: none, one, or as many as the method hears.
        settings: of the student.
        pack: the images.
        method: says what is wanted of them.
        around: where they are asked.
        shares: of the teachers, from `teacher_weights`.

    Returns:
        The word; its mode is that of the first teacher, its seconds those of all.

    Raises:
        UsageError, InputError, Interrupted: see `prepare_teacher`.
    """
    if not teachers:
        return PreparedTeacher(no_teacher, None, None)
    words = []
    for number, saved in enumerate(teachers):
        one = around
        if len(teachers) > 1:
            one = around._replace(name=f"{around.name}, teacher {number + 1} ({saved.model})")
        own = dataclasses.replace(settings, epochs=_asked_about(settings, number, len(teachers)))
        special = settings.method == "specialists" and number > 0
        view = class_subset(pack, specialist_group(saved)) if special else pack
        judge = _judge(settings, saved, view, number, len(teachers))
        words.append(prepare_teacher(saved, own, view, _needs(method, number), one, judge=judge))
    seconds = [word.seconds for word in words if word.seconds is not None]
    heard = [word.teacher for word in words]
    if settings.method == "specialists":
        groups = [specialist_group(saved) for saved in teachers[1:]]
        active = settings.methods.specialists.active
        one_word: Teacher = combine_specialists(heard, groups, pack, active=active)
    else:
        one_word = _made_one(heard, settings, shares)
    return PreparedTeacher(
        one_word,
        words[0].mode,
        sum(seconds) if seconds else None,
    )


def teacher_summary(
    settings: TrainConfig, teachers: Sequence[SavedModel], shares: Sequence[float]
) -> list[dict[str, Any]]:
    """Who teaches a run, for its journal: folder, network, fingerprint of the weights, how much it counts.

    In a council that hangs on the image, and is None.
    """
    folders = [Path(folder).name for folder in settings.teacher][: len(teachers)]
    if len(folders) < len(teachers):
        folders *= len(teachers)  # checkpoints of one run
    counts: Sequence[float | None] = shares or [1 / len(teachers) for _ in teachers]
    if settings.method == "specialists":
        counts = [None for _ in teachers]
    return [
        {
            "folder": folder,
            "model": saved.model,
            "weights": fingerprint_of(saved.classifier.network),
            "share": share,
        }
        for folder, saved, share in zip(folders, teachers, counts, strict=True)
    ]


def _asked_about(settings: TrainConfig, number: int, count: int) -> int:
    """The epochs whose views a teacher is asked about: a checkpoint of a course, until its turn is over."""
    if settings.method != "rco" or settings.epochs == 0:
        return settings.epochs
    return last_epoch(number, checkpoints=count, epochs=settings.epochs)


def _judge(
    settings: TrainConfig, saved: SavedModel, pack: Pack, number: int, count: int
) -> CheckOutputs:
    """What holds one teacher against the labels; an early checkpoint of a course may know little yet."""
    folders = [*settings.teacher, *settings.teacher[:1] * count]  # checkpoints are of one run
    where = folders[number] if folders else saved.model
    early = settings.method == "rco" and number < count - 1

    def judge(logits: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        check_teacher(
            logits,
            np.asarray(pack.labels)[rows],
            rows=rows,
            classes=pack.classes,
            where=where,
            trust=settings.skip_teacher_check,
            early=early,
        )

    return judge


def _needs(method: Method, number: int) -> Needs:
    """What is wanted of one teacher: of one that is heard apart, what the terms under it want."""
    if isinstance(method, OfflineDistillation) and len(method.shares) > 1:
        return method.needs_from(number)
    return method.needs


def _made_one(
    teachers: Sequence[Teacher], settings: TrainConfig, shares: Sequence[float]
) -> Teacher:
    if settings.method == "rco":
        return CheckpointSequence(teachers, epochs=max(1, settings.epochs))
    if len(teachers) == 1:
        return teachers[0]
    several = settings.methods.multi_teacher
    if settings.method != "multi-teacher" or several.combine == "divergences":
        return TeacherList(teachers)
    return EnsembleTeacher(
        teachers,
        shares,
        temperature=ensemble_temperature(settings) if several.combine == "probabilities" else None,
        sharpness=several.sharpness if several.weigh == "confidence" else None,
    )
