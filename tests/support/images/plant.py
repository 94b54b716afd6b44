"""The type of the `plant` fixture: makes files under a new folder and returns it."""

from collections.abc import Callable
from pathlib import Path

Plant = Callable[..., Path]
