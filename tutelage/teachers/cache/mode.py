"""When a teacher is asked: ahead of training, once about every view; or live, at every step."""

from typing import Literal, NamedTuple

from tutelage.config.augmentation import AugmentationConfig

MOST_BYTES = 4 << 30


class OutputMode(NamedTuple):
    """name: `views` (a fixed number of views of each image), `schedule` (a new one each epoch) or `live`;
    why: for the reader; number: of views asked about ahead, 0 where live.
    """

    name: Literal["views", "schedule", "live"]
    why: str
    number: int


def choose_output_mode(
    ask: Literal["auto", "cached", "live"],
    views: AugmentationConfig,
    *,
    epochs: int,
    images: int,
    record_bytes: int,
) -> OutputMode:
    """How a student's teacher is asked.

    Args:
        ask: the setting.
        views: what the student is shown.
        epochs: of the student.
        images: training images.
        record_bytes: of one answer.

    >>> choose_output_mode("auto", AugmentationConfig(), epochs=50, images=7800, record_bytes=40).why
    'every epoch shows the same images'
    """
    if ask == "live":
        return OutputMode("live", "as asked for", 0)
    count = views.count(epochs)
    size = count * images * record_bytes
    if ask == "auto" and size > MOST_BYTES:
        return OutputMode("live", f"the answers would take {size / 1e9:.1f} GB", 0)
    if views.fixed:
        return OutputMode("views", "every epoch shows the same images", count)
    if views.num_views is not None:
        return OutputMode("views", f"the epochs take {count} views in turn", count)
    why = f"each of {count} epochs shows views of its own; other students see the same ones"
    return OutputMode("schedule", why, count)
