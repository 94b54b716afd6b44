"""Refuse before any waiting what can be known to fail, each with its remedy.

Settings are looked at first, then the data, then the device, and last the networks, whose weights may have
to be looked for far away.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.model import ModelConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.config.roles import SPECIALIST, TEACHER, UNTAUGHT
from tutelage.config.schema import shared_fields, validate
from tutelage.config.training import OptimizationConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.open import require_data
from tutelage.engine.run import Networks
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.specialists import require_group
from tutelage.engine.trackers.registry import require_trackers
from tutelage.engine.trial_step import try_step
from tutelage.errors import MachineError, UsageError
from tutelage.losses.registry import term_class
from tutelage.methods.factory import TrainingFacts, build_distillation, require_usable_losses
from tutelage.methods.plan import PlannedRun
from tutelage.methods.registry import check_mixtures, is_distilled, spec_of
from tutelage.models.build import build_model, require_known
from tutelage.models.weights import find_weights

BYTES_A_NETWORK = 400_000_000
"""Of a run's folder, generously: weights, best weights and a checkpoint with optimizer state."""


class Job(NamedTuple):
    """What is about to be done: the settings, the runs they mean, and the caller's own modules."""

    settings: DistillConfig | TrainConfig
    runs: Sequence[PlannedRun]
    networks: Networks

    def flag(self, settings: TrainConfig) -> str:
        """Return the start of the flags of one run's network, such as `--teacher.`."""
        if isinstance(self.settings, TrainConfig):
            return "--"
        return "--teacher." if settings.role in (TEACHER, SPECIALIST) else "--student."


def preflight(jobs: Sequence[Job], data: str | Path, out: Path) -> None:
    """Check all that is known before the data are read.

    Raises:
        UsageError: settings that do not go together, or an unknown network.
        InputError: no data, no weights, or those of another network.
        MachineError: no such device.
    """
    for job in jobs:
        check_settings(job)
    if not out.exists():  # a finished job needs its data no more
        require_data(data)
    resolve_runtime(jobs[0].settings)
    require_trackers(jobs[0].settings.track)
    networks: dict[ModelConfig, str] = {}
    for job in jobs:
        for run in job.runs:
            if run.network not in job.networks:
                networks.setdefault(_network(run.settings), job.flag(run.settings))
    for network, flag in networks.items():
        require_network(network, flag=flag, channels=jobs[0].settings.data.channels)


def preflight_data(jobs: Sequence[Job], pack: Pack) -> None:
    """Check all that is known once the data are read.

    Batch sizes, points for every feature loss, and one training step of every network.

    Raises:
        UsageError: too few images, a network that cannot be trained on them, or a loss that does not fit.
        MachineError: not enough memory.
    """
    for job in jobs:
        _check_batches(job, pack)
    tried = set()
    for job in jobs:
        for run in job.runs:
            factory, settings = job.networks.get(run.network or ""), run.settings
            key = (None if factory else _network(settings), settings.batch_size, factory)
            if key not in tried:
                tried.add(key)
                try_step(settings, pack, factory=factory, flag=job.flag(settings))
    for job in jobs:
        _check_features(job, pack)


def _check_batches(job: Job, pack: Pack) -> None:
    settings = job.settings
    if isinstance(settings, DistillConfig):
        spec_of(settings).check_job(settings, classes=len(pack.classes))
    images = len(pack.rows("train"))
    for run in job.runs:
        flag, size = job.flag(run.settings), run.settings.batch_size
        require_batch(size, images, flag=flag)
        if is_distilled(run.settings) or _has_teachers(run):
            require_last_batch(settings, size, images, flag=flag)


def _check_features(job: Job, pack: Pack) -> None:
    networks = {run.name: _network(run.settings) for run in job.runs}
    compared = set()
    for run in job.runs:
        if not is_distilled(run.settings) and not _has_teachers(run):
            continue
        for teacher in run.teachers:
            pair = networks[run.name], networks.get(teacher)
            if pair[1] is not None and not job.networks and pair not in compared:
                compared.add(pair)
                require_buildable(job.settings, pair[0], pair[1], pack)


def check_settings(job: Job) -> None:
    """Check what is known without any file: settings that go together, networks that exist.

    Raises:
        UsageError: naming what is wrong.
    """
    settings = job.settings
    validate(settings)
    loss_weights(settings)
    spec = spec_of(settings)
    if isinstance(settings, DistillConfig):
        check_mixtures(settings.method, settings.student)
        require_usable_losses(settings)
        spec.check_epochs(settings, settings.student.epochs, flag="--student.")
        spec.check_job(settings, own_teacher=TEACHER in job.networks)
    for run in job.runs:
        flag = job.flag(run.settings)
        require_snapshot_epochs(run.settings, flag=flag)
        if isinstance(settings, TrainConfig):
            require_group(settings)
            if is_distilled(settings):
                check_mixtures(settings.method, settings)
                require_usable_losses(settings)
                spec.check_epochs(settings, settings.epochs, flag=flag)
        elif _has_teachers(run) and spec.checkpoints(settings.methods) is None:
            spec.check_teachers(settings, len(run.teachers))
        if run.network not in job.networks:
            require_known(run.settings.model, flag=f"{flag}model")


def require_network(settings: ModelConfig, *, flag: str = "--", channels: int = 3) -> None:
    """Refuse a network that does not exist, lacks its weights, or cannot be changed as asked.

    It is built once and thrown away, so that a mistake about the student shows before the teacher trains.

    Args:
        settings: of the network.
        flag: start of its flags, such as `--teacher.`.
        channels: of its images.

    Raises:
        UsageError: an unknown network.
        InputError: no weights, or those of another network.
    """
    require_known(settings.model, flag=f"{flag}model")
    weights = find_weights(settings, flag=f"{flag}weights")
    if weights.kind == "tag":  # they fit by their name, and a download is for later
        settings = dataclasses.replace(settings, weights="none")
    neutral = ((0.0,) * channels, (1.0,) * channels)
    build_model(settings, classes=2, stored_size=224, train_statistics=neutral, seed=0)


def require_batch(batch_size: int, images: int, *, flag: str = "--") -> None:
    """Refuse a batch larger than the training split.

    Raises:
        UsageError: it is.
    """
    if batch_size > images:
        raise UsageError(
            "the batch is larger than the training split",
            found=f"batch_size = {batch_size}, {images} training images",
            fix=f"{flag}batch-size {max(1, images // 4)}",
        )


def require_last_batch(
    objective: ObjectiveConfig, batch_size: int, images: int, *, flag: str = "--"
) -> None:
    """Refuse a batch size that leaves too few images for some term in the last batch of an epoch.

    Raises:
        UsageError: it does.
    """
    rest = images % batch_size or batch_size
    needs = {name: term_class(name).least for name in loss_weights(objective)}
    name, least = max(needs.items(), key=lambda need: need[1])
    if rest < least:
        sizes = range(batch_size + 1, images + 1)
        better = next((n for n in sizes if (images % n or n) >= least), None)
        raise UsageError(
            f"losses.{name} compares at least {least} images, and the last batch has {rest}",
            found=f"batch_size = {batch_size}, {images} training images",
            fix=f"{flag}batch-size {better}" if better else "more training images",
        )


def require_snapshot_epochs(settings: OptimizationConfig, *, flag: str = "--") -> None:
    """Refuse more kept networks than epochs.

    Raises:
        UsageError: there are more.
    """
    kept = settings.keep_checkpoints
    if kept is not None and kept > settings.epochs:
        raise UsageError(
            "more networks are to be kept than there are epochs",
            found=f"keep_checkpoints = {kept}, {settings.epochs} epochs",
            fix=f"{flag}epochs {kept} or more, or {flag}keep-checkpoints {max(1, settings.epochs)}",
        )


def require_buildable(
    objective: ObjectiveConfig,
    student: ModelConfig,
    teacher: ModelConfig,
    pack: Pack,
    *,
    seed: int = 0,
) -> None:
    """Refuse feature losses that do not fit two networks, before either is trained.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    losses = selected_losses(objective).values()
    if not any(isinstance(settings, FeatureLossConfig) for settings in losses):
        return
    built_student, built_teacher = (
        build_model(
            dataclasses.replace(settings, weights="none"),
            classes=len(pack.classes),
            stored_size=pack.image_size,
            train_statistics=(pack.mean, pack.std),
            seed=seed,
        ).classifier
        for settings in (student, teacher)
    )
    facts = TrainingFacts(1, len(pack.classes), torch.arange(1), pack.image_size)
    build_distillation(built_student, built_teacher, objective, facts)


def require_room(out: Path, wanted: int) -> None:
    """Refuse a disk without room for what is about to be written.

    Raises:
        MachineError: there is not enough.
    """
    place = next(p for p in [out.absolute(), *out.absolute().parents] if p.exists())
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise MachineError(
            "not enough room on the disk",
            where=out,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"about {wanted / 1e9:.1f} GB",
            fix="make room, a smaller --image-size, or --out on another disk",
        )


def _has_teachers(run: PlannedRun) -> bool:
    """Return whether finished networks teach it; a specialist only starts from one."""
    return bool(run.teachers) and run.settings.role not in UNTAUGHT


def _network(settings: TrainConfig) -> ModelConfig:
    return ModelConfig(**shared_fields(ModelConfig, settings))
