"""What can be known to be wrong before any waiting, each with its remedy."""

import dataclasses
import shutil
from pathlib import Path

from tutelage.data.pack import Pack
from tutelage.errors import InputError, MachineError, UsageError
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
