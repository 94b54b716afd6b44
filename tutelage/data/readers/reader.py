"""The contract of a reader: one kind of dataset, recognised and opened."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tutelage.config.data import DataConfig
from tutelage.data.readers.source import Source


class Reader(NamedTuple):
    """A kind of dataset."""

    kind: str
    """For help and messages: `a folder of images`."""

    accepts: Callable[[str, Path], bool]
    """Whether it reads this: (what the user typed, the same as a path) -> yes or no. Nothing is opened."""

    open: Callable[[str, Path, DataConfig], Source]
    """Scan it, without decoding an image.

    Raises:
        InputError: its layout cannot be used; the message shows what is expected.
    """
