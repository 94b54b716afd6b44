"""The settings of the data: what is read, how it is split, what is stored."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which images are taken, how they are split and how they are stored."""

    image_size: int = setting(224, at_least=8, at_most=4096)
    """Side of the stored square in pixels: the shorter edge is resized to it, then the centre is cropped."""

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
