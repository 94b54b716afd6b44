"""The settings of the data: what is read, how it is split, what is stored."""

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tutelage.config.image_size import ImageSize, height_width, image_size
from tutelage.config.schema import build, setting
from tutelage.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which images are taken, how they are split and how they are stored."""

    image_size: int | tuple[int, int] = setting(224, at_least=8, at_most=4096)
    """Side of the stored square in pixels, or height and width (64x128); see `fit`."""

    splits: Literal["given", "redraw"] = "given"
    """`given` keeps the splits of the data; `redraw` pools all labelled images and splits them anew."""

    split: tuple[float, float, float] = setting((0.8, 0.1, 0.1), at_least=0)
    """Shares of train, val and test that sum to 1, or whole numbers of images. Where train is given
    and val is not, val is taken from train by its share.
    """

    split_seed: int = setting(0, at_least=0)
    """Seed of the split."""

    test_labels: Literal["use", "hide"] = "use"
    """`hide` drops the labels of the test images, as in a competition."""

    background: Literal["white", "black"] = "white"
    """Colour behind transparent pixels."""

    max_unreadable: float = setting(0.05, at_least=0, at_most=1)
    """Largest share of unreadable files: with more the job stops, otherwise they are left out and listed."""

    max_pixels: int = setting(64_000_000, at_least=1, at_most=178_956_970)
    """Images with more pixels than this are left out, not decoded."""

    dir: str | None = None
    """Folder with a local copy of a known dataset such as cifar10."""

    images: str | None = None
    """Folder that the paths of a table lead to, if it is not the folder of the table."""

    columns: str | None = None
    """Columns of a table by role: `path=image_id,label=diagnosis,split=part`. What is left out is found
    by names and contents; `split=` passes over a column of splits; `label=MEL|NV` takes 0/1 columns.
    """

    multi_label: Literal["drop", "joint"] | None = None
    """Rows of a table with several labels, which are refused otherwise: `drop` leaves them out and counts
    them, `joint` makes each combination a class.
    """

    layout: Literal["classes", "splits"] | None = None
    """What the top folders are: `classes`, or `splits` with a folder for each class in them. By default it is
    read off the folders; `check` shows what was read.
    """

    label_from: Literal["name"] | None = None
    """`name` takes the class from the file's name: what stands before the last `_`, `.`, `-` or space and a
    number, as in Abyssinian_12.jpg. By default it is the folder's name.
    """

    class_names: Literal["exact"] | None = None
    """`exact` takes names that differ in case, spaces or the form of a character for different classes, such
    as letters A and a. By default they are refused.
    """

    links: Literal["follow"] | None = None
    """`follow` reads what symbolic links lead to outside the folder. By default they are left out and listed.
    """
    fit: Literal["crop", "pad", "squash"] = setting("crop", added=True)
    """How an image of another shape becomes one of `image_size`: `crop` covers it and keeps the centre, `pad`
    shows the whole image and fills the rest with `background`, `squash` changes the aspect ratio.
    """

    crop_ratio: float = setting(1.0, at_least=0.1, at_most=1, added=True)
    """Share of the fitted image's sides that is kept at the centre, such as 0.875 (224 of 256 pixels)."""

    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = setting(
        "bilinear", added=True
    )
    """Filter of the resizing; all but `nearest` are antialiased."""

    range: tuple[float, float] | None = setting(None, added=True)
    """Values that become black and white in images of more than 8 bits, one range for the whole data set.
    Unset: the lowest and the highest value that 16 bits can hold.
    """

    channels: Literal[1, 3] = setting(3, added=True)
    """Channels that are stored and that networks take: 1 for grey, 3 for RGB."""

    def __post_init__(self) -> None:
        """Write a square's size as one number, and refuse a range without values."""
        with contextlib.suppress(ValueError):  # `validate` reports it
            object.__setattr__(self, "image_size", image_size(self.image_size))
        if self.range is not None and not self.range[0] < self.range[1]:
            raise UsageError(
                "--data.range has no values between its ends",
                found=self.range,
                expected="a lower and a higher number",
                fix="--data.range 0 4095",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the stored images."""
        return (*height_width(self.image_size), self.channels)


PREPARATION = ("fit", "crop_ratio", "interpolation", "range", "channels")
"""Settings beside size and background by which an image becomes pixels; they go with pack and network."""


def preparation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a table that say how an image becomes pixels, beside size and background.

    >>> preparation({"fit": "pad", "split_seed": 1})
    {'fit': 'pad'}
    """
    return {name: settings[name] for name in PREPARATION if name in settings}


def prepared_as(size: ImageSize, background: str, table: Mapping[str, Any]) -> DataConfig:
    """Return the settings by which images were prepared, all others being defaults.

    Args:
        size: of the stored images, in pixels.
        background: colour under transparent pixels and around padded images.
        table: see `preparation`.

    Raises:
        UsageError: a setting that does not exist, or a value that it cannot have.
    """
    settings = build(DataConfig, {"background": background, **table}, where="preparation")
    return dataclasses.replace(settings, image_size=size)
