"""A path -> a teacher: a run folder or a model folder, held against the classes it shall teach."""

from collections.abc import Sequence
from pathlib import Path

from tutelage.errors import InputError
from tutelage.models.folder import Saved, load_model


def open_teacher(path: Path, classes: Sequence[str]) -> Saved:
    """The network in a run folder (its last epoch) or a model folder.

    Raises:
        InputError: no network there, or one of other classes or of another class order.
    """
    folder = path / "model" if (path / "model").is_dir() else path
    saved = load_model(folder)
    if saved.classes == tuple(classes):
        return saved
    if len(saved.classes) != len(classes):
        what = f"the teacher knows {len(saved.classes)} classes, the data have {len(classes)}"
    elif set(saved.classes) == set(classes):
        what = "the teacher has the same classes in another order"
    else:
        what = "the teacher knows other classes than the data have"
    raise InputError(
        what,
        where=path,
        found=_short(saved.classes),
        expected=_short(classes),
        fix="train a teacher on these data: tutelage train DATA --role teacher",
    )


def _short(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:8])
    return shown + (", ..." if len(classes) > 8 else "")
