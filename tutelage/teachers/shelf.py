"""The folder of all caches: what is in it, whether it is whole, how it is taken away."""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tutelage.errors import UsageError
from tutelage.files import read_json
from tutelage.teachers.table import open_table
from tutelage.world import World

NAME = "teacher-cache"


class Entry(NamedTuple):
    """One cache: its folder's name, its manifest, answers and pictures in it, bytes on disk."""

    name: str
    manifest: dict[str, Any]
    answers: int
    pictures: int
    views: int
    bytes: int


def entries(shelf: Path) -> list[Entry]:
    """All caches of a folder, by name.

    Raises:
        UsageError: no such folder.
        InputError: a damaged cache.
    """
    if not shelf.is_dir():
        raise UsageError(
            "no teachers' answers are kept there",
            where=shelf,
            fix="the folder as an argument, such as runs/teacher-cache",
        )
    return [_entry(path.parent) for path in sorted(shelf.glob("*/manifest.json"))]


def _entry(folder: Path) -> Entry:
    table = open_table(folder)
    return Entry(
        name=folder.name,
        manifest=read_json(folder / "manifest.json"),
        answers=len(table),
        pictures=len(np.unique(table.index["key"])),
        views=len(np.unique(table.index["view"])),
        bytes=sum(file.stat().st_size for file in folder.iterdir()),
    )


def verify(shelf: Path) -> dict[str, int]:
    """How many answers of each cache are damaged; reads all of them."""
    return {entry.name: len(open_table(shelf / entry.name).damaged()) for entry in entries(shelf)}


def remove(shelf: Path, names: list[str]) -> int:
    """Take caches away; returns the bytes freed.

    Raises:
        UsageError: no cache of that name, or a run is writing it.
    """
    known = {entry.name: entry for entry in entries(shelf)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"no cache named {name}",
                where=shelf,
                expected=", ".join(known) or "none is there",
                fix=f"tutelage cache list {shelf}",
            )
    for name in names:
        with (shelf / name / ".lock").open("a") as file:
            if not _taken(file):
                raise UsageError("a run is writing this cache", where=shelf / name)
            shutil.rmtree(shelf / name)
    return sum(known[name].bytes for name in names)


@contextmanager
def locked(folder: Path, world: World, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a cache for this run while the block lasts; `waiting` is called while another run has it."""
    if not world.first:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        while not _taken(file):
            waiting()
            time.sleep(0.5)
        yield


def _taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
