"""What can be known to be wrong before any waiting, each with its remedy."""

import dataclasses
import shutil
from pathlib import Path

import torch

from tutelage.data.pack import Pack
from tutelage.engine.settings import Training
from tutelage.errors import InputError, MachineError, UsageError
from tutelage.losses.settings import Objective, chosen, weights
from tutelage.losses.table import term_class
from tutelage.losses.weight_settings import Pointed
from tutelage.methods.settings import Teaching
from tutelage.methods.teaching import Lesson, taught
from tutelage.models.build import build, require_known
from tutelage.models.settings import Network
from tutelage.models.weights import find_weights


def require_network(settings: Network, *, flag: str = "--") -> None:
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
    build(settings, classes=2, stored_size=224, train_statistics=neutral, seed=0)


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


def require_rest(objective: Objective, batch_size: int, images: int, *, flag: str = "--") -> None:
    """The last batch of an epoch, which takes what is left, is enough for every term.

    Raises:
        UsageError: it is not.
    """
    rest = images % batch_size or batch_size
    needs = {name: term_class(name).least for name in weights(objective)}
    name, least = max(needs.items(), key=lambda need: need[1])
    if rest < least:
        sizes = range(batch_size + 1, images + 1)
        better = next((n for n in sizes if (images % n or n) >= least), None)
        raise UsageError(
            f"terms.{name} compares at least {least} pictures, and the last batch has {rest}",
            found=f"batch_size = {batch_size}, {images} training images",
            fix=f"{flag}batch-size {better}" if better else "more training images",
        )


def require_kept(settings: Training, *, flag: str = "--") -> None:
    """Each network that is to be kept is that of an epoch of its own.

    Raises:
        UsageError: more of them than epochs.
    """
    if settings.keep is not None and settings.keep > settings.epochs:
        raise UsageError(
            "more networks are to be kept than there are epochs",
            found=f"keep = {settings.keep}, {settings.epochs} epochs",
            fix=f"{flag}epochs {settings.keep} or more, or {flag}keep {max(1, settings.epochs)}",
        )


def require_course(settings: Teaching, epochs: int, *, flag: str = "--") -> None:
    """Each checkpoint of a course teaches for at least one epoch.

    Raises:
        UsageError: the student has fewer epochs than there are checkpoints.
    """
    count = settings.methods.course.checkpoints
    if settings.method == "course" and count > epochs:
        raise UsageError(
            "the course has more checkpoints than the student has epochs",
            found=f"methods.course.checkpoints = {count}, {epochs} epochs",
            fix=f"{flag}epochs {count}, or --methods.course.checkpoints {max(1, epochs)}",
        )


def require_lesson(
    objective: Objective, student: Network, teacher: Network, pack: Pack, *, seed: int = 0
) -> None:
    """Terms that look inside find what they look for in the two networks, before any of them is trained.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    if not any(isinstance(settings, Pointed) for settings in chosen(objective).values()):
        return
    pupil, master = (
        build(
            dataclasses.replace(settings, weights="none"),
            classes=len(pack.classes),
            stored_size=pack.image_size,
            train_statistics=(pack.mean, pack.std),
            seed=seed,
        ).classifier
        for settings in (student, teacher)
    )
    lesson = Lesson(1, len(pack.classes), torch.arange(1), pack.image_size)
    taught(pupil, master, objective, lesson)


def require_validation(pack: Pack) -> None:
    """There are labelled validation images to choose and compare by.

    Raises:
        InputError: there are none.
    """
    if not (pack.labels[pack.rows("val")] >= 0).any():
        raise InputError(
            "no labelled validation images",
            expected="at least one",
            fix="--data.splits anew --data.split 0.8 0.1 0.1",
        )


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
