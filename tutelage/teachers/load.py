"""Load a teacher from a run folder or a model folder and check its classes."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from tutelage.config.schema import flag
from tutelage.data.class_subset import dustbin_class
from tutelage.errors import InputError
from tutelage.models.build import RGB
from tutelage.models.class_order import reorder_classes
from tutelage.models.model_folder import SavedModel, load_model, network_folder


def open_teacher(
    path: Path,
    classes: Sequence[str],
    *,
    network: nn.Module | None = None,
    names: Sequence[str] | None = None,
) -> SavedModel:
    """Load the network of a run folder (last epoch) or a model folder, with its outputs in our order.

    Args:
        path: the folder.
        classes: of the data.
        network: the user's own module, where the folder holds its weights.
        names: of its outputs in their order; None: those that its folder holds.

    Raises:
        InputError: no network there, or one with other classes.
    """
    saved = load_model(network_folder(path), network=network)
    if names is None and saved.classes == tuple(classes):
        return saved
    if names is not None or set(saved.classes) == set(classes):
        reorder_classes(saved.classifier.network, names or saved.classes, classes, where=path)
        return saved._replace(classes=tuple(classes))
    if len(saved.classes) != len(classes):
        what = f"the teacher knows {len(saved.classes)} classes, the data have {len(classes)}"
    else:
        what = "the teacher knows other classes than the data have"
    raise InputError(
        what,
        where=path,
        found=_short(saved.classes),
        expected=_short(classes),
        fix="--teacher-classes FILE, if these are its classes under other names; or train one on these data: "
        "tutelage train DATA --role teacher",
    )


def require_channels(teachers: Sequence[SavedModel], channels: int) -> None:
    """Refuse a teacher of grey images for color; the other way round, grey is shown to each of its channels.

    Args:
        teachers: finished networks.
        channels: of the stored images.

    Raises:
        InputError: there is one.
    """
    for saved in teachers:
        theirs = saved.classifier.preprocess.channels
        if theirs not in (channels, RGB):
            raise InputError(
                f"the teacher takes images of {theirs} channel, the data have {channels}",
                found=saved.model,
                fix=f"{flag('data.channels')} {theirs}, or a teacher that was trained on these data",
            )


def open_specialist(path: Path, classes: Sequence[str]) -> SavedModel:
    """Load a specialist, whose classes are a group of `classes` and, last, the dustbin class.

    Raises:
        InputError: no network there, or no specialist for these classes.
    """
    saved = load_model(network_folder(path))
    if saved.classes[-1] == dustbin_class(classes) and {*saved.classes[:-1]} <= {*classes}:
        return saved
    raise InputError(
        "no specialist for these classes",
        where=path,
        found=_short(saved.classes),
        expected=f"some of {_short(classes)}, and {dustbin_class(classes)} last",
        fix="tutelage run --method specialists, which trains them",
    )


def _short(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:8])
    return shown + (", ..." if len(classes) > 8 else "")
