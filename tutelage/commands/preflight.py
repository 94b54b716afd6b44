"""What can be known to be wrong before any waiting, each with its remedy."""

import dataclasses
import shutil
from pathlib import Path

import torch

from tutelage.commands.plans.specialists import require_specialists
from tutelage.commands.plans.step import PlannedRun
from tutelage.config.job import UNTAUGHT, DistillConfig, TrainConfig
from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.methods import MethodConfig
from tutelage.config.model import ModelConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.config.schema import shared_fields
from tutelage.config.training import OptimizationConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.build import is_taught
from tutelage.engine.run import Networks
from tutelage.errors import MachineError, UsageError
from tutelage.losses.registry import term_class
from tutelage.methods.factory import TrainingFacts, build_distillation, require_usable_losses
from tutelage.methods.multi_teacher import require_teachers
from tutelage.models.build import build_model, require_known
from tutelage.models.weights import find_weights


def require_network(settings: ModelConfig, *, flag: str = "--") -> None:
    """The network exists, its weights are within reach and fit it, and it can be changed as asked.

    It is built once and thrown away, so that a mistake about the student shows before the teacher trains.

    Args:
        settings: of the network.
        flag: start of its flags, such as `--teacher.`.

    Raises:
        UsageError: an unknown network.
        InputError: no weights, or those of another network.
    """
    require_known(settings.model, flag=f"{flag}model")
    weights = find_weights(settings, flag=f"{flag}weights")
    if weights.kind == "tag":  # they fit by their name, and a download is for later
        settings = dataclasses.replace(settings, weights="none")
    neutral = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    build_model(settings, classes=2, stored_size=224, train_statistics=neutral, seed=0)


def require_batch(batch_size: int, images: int, *, flag: str = "--") -> None:
    """The training split holds at least one batch.

    Raises:
        UsageError: it does not.
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
    """The last batch of an epoch, which takes what is left, is enough for every term.

    Raises:
        UsageError: it is not.
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
    """Each network that is to be kept is that of an epoch of its own.

    Raises:
        UsageError: more of them than epochs.
    """
    if settings.keep_checkpoints is not None and settings.keep_checkpoints > settings.epochs:
        raise UsageError(
            "more networks are to be kept than there are epochs",
            found=f"keep = {settings.keep_checkpoints}, {settings.epochs} epochs",
            fix=f"{flag}epochs {settings.keep_checkpoints} or more, or {flag}keep {max(1, settings.epochs)}",
        )


def require_checkpoint_epochs(settings: MethodConfig, epochs: int, *, flag: str = "--") -> None:
    """Each checkpoint of a course teaches for at least one epoch.

    Raises:
        UsageError: the student has fewer epochs than there are checkpoints.
    """
    count = settings.methods.rco.checkpoints
    if settings.method == "rco" and count > epochs:
        raise UsageError(
            "the course has more checkpoints than the student has epochs",
            found=f"methods.rco.checkpoints = {count}, {epochs} epochs",
            fix=f"{flag}epochs {count}, or --methods.rco.checkpoints {max(1, epochs)}",
        )


def require_buildable(
    objective: ObjectiveConfig,
    student: ModelConfig,
    teacher: ModelConfig,
    pack: Pack,
    *,
    seed: int = 0,
) -> None:
    """Terms that look inside find what they look for in the two networks, before any of them is trained.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    if not any(
        isinstance(settings, FeatureLossConfig) for settings in selected_losses(objective).values()
    ):
        return
    pupil, master = (
        build_model(
            dataclasses.replace(settings, weights="none"),
            classes=len(pack.classes),
            stored_size=pack.image_size,
            train_statistics=(pack.mean, pack.std),
            seed=seed,
        ).classifier
        for settings in (student, teacher)
    )
    lesson = TrainingFacts(1, len(pack.classes), torch.arange(1), pack.image_size)
    build_distillation(pupil, master, objective, lesson)


def require_room(out: Path, wanted: int) -> None:
    """The disk has room for what is about to be written.

    Raises:
        MachineError: it has not.
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


BYTES_A_NETWORK = 400_000_000
"""Of a run's folder, generously: weights, best weights and a checkpoint with optimizer state."""


def require_plan(job: DistillConfig, steps: list[PlannedRun], networks: Networks) -> None:
    """The settings of a plan go together, and its networks exist: what is known without any file.

    Raises:
        UsageError: see `engine.preflight`; the message names what is wrong.
    """
    require_usable_losses(job)
    require_checkpoint_epochs(job, job.student.epochs, flag="--student.")
    if job.method == "specialists":
        require_specialists(job)
        if "teacher" in networks:
            raise UsageError(
                "specialists begin as their teacher but for its last layer, and which that is only a network "
                "known by name tells",
                found="a teacher that is a module of your own",
                fix="a timm name for the teacher, or another method",
            )
    for step in steps:
        flag = _flag(step.settings)
        require_snapshot_epochs(step.settings, flag=flag)
        if _hears(step) and job.method != "rco":
            require_teachers(job, len(step.teachers))
        if step.makes not in networks:
            require_known(step.settings.model, flag=f"{flag}model")


def require_plan_networks(steps: list[PlannedRun], networks: Networks) -> None:
    """Every network of a plan can be built; its weights may have to be looked for far away.

    Raises:
        UsageError, InputError: see `engine.preflight.require_network`.
    """
    flags: dict[ModelConfig, str] = {}
    for step in steps:
        if step.makes not in networks:
            flags.setdefault(_network(step.settings), _flag(step.settings))
    for network, flag in flags.items():
        require_network(network, flag=flag)


def require_plan_fits(
    job: DistillConfig, steps: list[PlannedRun], pack: Pack, networks: Networks
) -> None:
    """The images are enough for every run, and terms that look inside find what they look for.

    Raises:
        UsageError: see `engine.preflight`.
    """
    if job.method == "specialists":
        require_specialists(job, len(pack.classes))
    images = len(pack.rows("train"))
    by_name, compared = {step.name: step.settings for step in steps}, set()
    for step in steps:
        require_batch(step.settings.batch_size, images, flag=_flag(step.settings))
        if not is_taught(step.settings) and not _hears(step):
            continue
        require_last_batch(job, step.settings.batch_size, images, flag=_flag(step.settings))
        for teacher in step.teachers:
            pair = _network(step.settings), _network(by_name[teacher])
            if not networks and pair not in compared:
                compared.add(pair)
                require_buildable(job, *pair, pack)


def _hears(step: PlannedRun) -> bool:
    """Whether it is taught by finished networks; a specialist only goes on from one."""
    return bool(step.teachers) and step.settings.role not in UNTAUGHT


def _network(settings: TrainConfig) -> ModelConfig:
    return ModelConfig(**shared_fields(ModelConfig, settings))


def _flag(settings: TrainConfig) -> str:
    return "--teacher." if settings.role in ("teacher", "specialist") else "--student."
