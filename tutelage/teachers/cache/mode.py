"""Choose whether teacher outputs are computed once before training, or live at every step."""

from typing import Literal, NamedTuple

from tutelage.config.augmentation import AugmentationConfig

MOST_BYTES = 4 << 30
"""Largest cache that `auto` creates."""


class OutputMode(NamedTuple):
    """How teacher outputs are computed."""

    name: Literal["views", "schedule", "live"]
    """`views` (a fixed number of views of each image), `schedule` (a new one each epoch) or `live`."""

    why: str
    """Reason, for the user."""

    number: int
    """Number of views computed before training; 0 for `live`."""


def choose_output_mode(
    setting: Literal["auto", "cached", "live"],
    views: AugmentationConfig,
    *,
    epochs: int,
    images: int,
    record_bytes: int,
) -> OutputMode:
    """Choose how the outputs of a student's teacher are computed.

    Args:
        setting: value of `--teacher-outputs`.
        views: the student's augmentation.
        epochs: epochs of the student.
        images: number of training images.
        record_bytes: size of one record.

    >>> choose_output_mode("auto", AugmentationConfig(), epochs=50, images=7800, record_bytes=40).why
    'every epoch shows the same images'
    """
    if setting == "live":
        return OutputMode("live", "as asked for", 0)
    count = views.count(epochs)
    size = count * images * record_bytes
    if setting == "auto" and size > MOST_BYTES:
        return OutputMode("live", f"the answers would take {size / 1e9:.1f} GB", 0)
    if views.fixed:
        return OutputMode("views", "every epoch shows the same images", count)
    if views.num_views is not None:
        return OutputMode("views", f"the epochs take {count} views in turn", count)
    why = f"each of {count} epochs shows views of its own; other students see the same ones"
    return OutputMode("schedule", why, count)
