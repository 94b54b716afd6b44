"""The finished teachers of one run: opened, weighted, prepared one by one, and combined into one.

Each sees images at its own size, with its own mean and standard deviation, and has a cache of its own, so
that a student of several teachers finds what was computed of one of them for another student.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tutelage.config.job import TrainConfig
from tutelage.data.class_subset import class_subset
from tutelage.data.pack.pack import Pack, require_validation
from tutelage.engine.context import RunContext
from tutelage.engine.precompute import CheckOutputs, PreparedTeacher, prepare_teacher
from tutelage.engine.runtime.device import Runtime
from tutelage.errors import InputError, UsageError
from tutelage.evaluation.metrics import scores_of
from tutelage.evaluation.predict import read_logits
from tutelage.losses.term import Needs
from tutelage.methods.method import Method
from tutelage.methods.multi_teacher import ensemble_temperature, teacher_shares
from tutelage.methods.offline import OfflineDistillation
from tutelage.methods.registry import spec_of
from tutelage.methods.spec import Combination
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
"""Make a network of the caller's own, given the class count."""


class Teachers(NamedTuple):
    """The finished networks that teach a run."""

    settings: TrainConfig
    """Of the student."""

    models: Sequence[SavedModel]
    """In the order of `settings.teacher`; of a checkpoint sequence, its checkpoints from the first on."""

    @property
    def networks(self) -> list[Classifier]:
        """The networks themselves."""
        return [model.classifier for model in self.models]

    @property
    def combination(self) -> Combination:
        """What they are made into."""
        return spec_of(self.settings).combination(self.settings.methods)

    def shares(self, pack: Pack, device: torch.device) -> tuple[float, ...]:
        """Compute how much each teacher counts, adding up to 1; empty where all count the same.

        For `weigh = validation`, each network is run once over the labelled validation images, in fp32. All
        processes do it alike, so that they agree to the bit with one.

        Raises:
            InputError: no validation image has a label.
        """
        options = self.settings.methods.multi_teacher
        if not (self.models and spec_of(self.settings).weighted):
            return ()
        if options.weigh != "validation":
            return teacher_shares(options, len(self.models))
        require_validation(pack)
        rows = pack.rows("val")
        rows = rows[pack.labels[rows] >= 0]
        losses = []
        for network in self.networks:
            logits = read_logits(network.to(device).eval(), pack, rows, device=device)
            losses.append(float(scores_of(logits, pack.labels[rows], pack.classes)["nll"]))
        return teacher_shares(options, len(self.models), losses)

    def prepare(
        self,
        pack: Pack,
        method: Method,
        context: RunContext,
        runtime: Runtime,
        *,
        shares: Sequence[float],
    ) -> PreparedTeacher:
        """Check and precompute each teacher, and combine them into one.

        Args:
            pack: the images.
            method: declares what it needs of its teachers.
            context: of the run.
            runtime: how the teachers compute.
            shares: of the teachers, from `shares`.

        Returns:
            The teacher; its mode is that of the first, its seconds those of all.

        Raises:
            UsageError, InputError, Interrupted: see `prepare_teacher`.
        """
        if not self.models:
            return PreparedTeacher(no_teacher, None, None)
        prepared = [
            self._prepare_one(number, pack, _needs(method, number), context, runtime)
            for number in range(len(self.models))
        ]
        seconds = [one.seconds for one in prepared if one.seconds is not None]
        teacher = self._combine([one.teacher for one in prepared], pack, shares)
        return PreparedTeacher(teacher, prepared[0].mode, sum(seconds) if seconds else None)

    def summary(self, shares: Sequence[float]) -> list[dict[str, Any]]:
        """List folder, network, fingerprint of the weights and share of each, for the event log.

        The share of a specialist depends on the image, and is None.
        """
        count = len(self.models)
        folders = [Path(folder).name for folder in self.settings.teacher][:count]
        if len(folders) < count:
            folders *= count  # checkpoints of one run
        counts: Sequence[float | None] = shares or [1 / count for _ in self.models]
        if self.combination == "specialist-ensemble":
            counts = [None] * count
        return [
            {
                "folder": folder,
                "model": saved.model,
                "weights": fingerprint_of(saved.classifier.network),
                "share": share,
            }
            for folder, saved, share in zip(folders, self.models, counts, strict=True)
        ]

    def _prepare_one(
        self, number: int, pack: Pack, needs: Needs, context: RunContext, runtime: Runtime
    ) -> PreparedTeacher:
        saved, count = self.models[number], len(self.models)
        if count > 1:
            name = f"{context.name}, teacher {number + 1} ({saved.model})"
            context = context._replace(name=name)
        settings = self.settings
        if self.combination == "sequence" and settings.epochs:
            # A checkpoint teaches until its turn is over.
            last = last_epoch(number, checkpoints=count, epochs=settings.epochs)
            settings = dataclasses.replace(settings, epochs=last)
        if self.combination == "specialist-ensemble" and number > 0:
            pack = class_subset(pack, specialist_group(saved))
        check = self._check(number, pack)
        return prepare_teacher(saved, settings, pack, needs, context, runtime, check=check)

    def _check(self, number: int, pack: Pack) -> CheckOutputs:
        """Compare one teacher with the labels; an early checkpoint may know little yet."""
        count = len(self.models)
        folders = [*self.settings.teacher, *self.settings.teacher[:1] * count]
        where = folders[number] if folders else self.models[number].model
        early = self.combination == "sequence" and number < count - 1

        def check(logits: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
            check_teacher(
                logits,
                np.asarray(pack.labels)[rows],
                rows=rows,
                classes=pack.classes,
                where=where,
                trust=self.settings.skip_teacher_check,
                early=early,
            )

        return check

    def _combine(self, teachers: Sequence[Teacher], pack: Pack, shares: Sequence[float]) -> Teacher:
        settings = self.settings
        if self.combination == "sequence":
            return CheckpointSequence(teachers, epochs=max(1, settings.epochs))
        if self.combination == "specialist-ensemble":
            groups = [specialist_group(saved) for saved in self.models[1:]]
            active = settings.methods.specialists.active
            return combine_specialists(teachers, groups, pack, active=active)
        if len(teachers) == 1:
            return teachers[0]
        if self.combination == "list":
            return TeacherList(teachers)
        options = settings.methods.multi_teacher
        return EnsembleTeacher(
            teachers,
            shares,
            temperature=ensemble_temperature(settings)
            if options.combine == "probabilities"
            else None,
            sharpness=options.sharpness if options.weigh == "confidence" else None,
        )


def open_teachers(
    settings: TrainConfig,
    classes: Sequence[str],
    networks: Sequence[NetworkFactory | None] = (),
) -> Teachers:
    """Load the networks that a run's settings name.

    Args:
        settings: of the run; `settings.teacher` are run or model folders.
        classes: of the data.
        networks: for each of `settings.teacher`, the factory of a module of the caller's own, or None; empty:
            none has one.

    Raises:
        InputError: no network there, one of other classes, or a run that kept no checkpoints.
        UsageError: another number of them than the method takes.
    """
    spec, folders = spec_of(settings), [Path(folder) for folder in settings.teacher]
    networks = networks or [None] * len(folders)
    count = spec.checkpoints(settings.methods)
    if count is not None and len(folders) == 1:
        folders = _checkpoints(folders[0], count)
        networks = [networks[0]] * len(folders)
    if folders:
        spec.check_teachers(settings, len(folders))
    if folders and spec.combination(settings.methods) == "specialist-ensemble":
        return Teachers(settings, open_specialists(folders, classes))
    names = settings.teacher_classes
    if names is not None and len(settings.teacher) > 1:
        raise UsageError(
            "one order of classes for several teachers",
            found=f"--teacher-classes, {len(settings.teacher)} teachers",
            fix="tutelage adopt FILE --classes FILE for each, and --teacher with the folders it makes",
        )
    models = [
        open_teacher(folder, classes, network=make(len(classes)) if make else None, names=names)
        for folder, make in zip(folders, networks, strict=True)
    ]
    return Teachers(settings, models)


def _checkpoints(run: Path, count: int) -> list[Path]:
    """Find the checkpoints that a teacher has kept; where one is wanted, its final network will do."""
    found = snapshot_folders(run) or ([run] if count == 1 else [])
    if not found:
        raise InputError(
            "the teacher has kept no checkpoints",
            where=run,
            expected=f"a run folder with {SNAPSHOTS}",
            fix=f"train it with --keep-checkpoints {count}, or let `tutelage run` do it",
        )
    return found


def _needs(method: Method, number: int) -> Needs:
    """Collect what is needed of one teacher; of one of several, what the terms under it need."""
    if isinstance(method, OfflineDistillation) and len(method.shares) > 1:
        return method.needs_from(number)
    return method.needs
