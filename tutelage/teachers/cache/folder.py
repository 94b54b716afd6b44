"""The folder of all caches: what is in it, whether it is whole, how it is taken away."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tutelage.distributed import World
from tutelage.errors import InputError, UsageError
from tutelage.storage.atomic import make_folder, recover_partial_writes
from tutelage.storage.disk import disk_errors
from tutelage.storage.lock import LockHolder, hold_lock
from tutelage.storage.safe_paths import path_inside, require_plain
from tutelage.teachers.cache.table import open_cache_table, read_manifest

NAME = "teacher-cache"


class CacheEntry(NamedTuple):
    """One cache: its folder's name, its manifest, answers and images in it, bytes on disk."""

    name: str
    manifest: dict[str, Any]
    answers: int
    images: int
    views: int
    bytes: int


def cache_names(shelf: Path) -> list[str]:
    """All caches of a folder, damaged ones too.

    Raises:
        UsageError: no such folder.
    """
    if not shelf.is_dir():
        raise UsageError(
            "no teachers' answers are kept there",
            where=shelf,
            fix="--folder with the folder `teacher-cache` beside the runs",
        )
    return sorted(path.parent.name for path in shelf.glob("*/manifest.json"))


def cache_entry(folder: Path) -> CacheEntry:
    """What is in a cache.

    Raises:
        InputError: it is damaged.
    """
    table = open_cache_table(folder)
    return CacheEntry(
        name=folder.name,
        manifest=read_manifest(folder),
        answers=len(table),
        images=len(np.unique(table.index["key"])),
        views=len(np.unique(table.index["view"])),
        bytes=cache_size(folder),
    )


def cache_size(folder: Path) -> int:
    """Bytes of a cache on the disk."""
    return sum(file.stat().st_size for file in folder.iterdir())


def verify_cache(shelf: Path) -> dict[str, str]:
    """What is wrong with each cache, by name; empty where nothing is. Reads every answer."""
    return {name: _wrong(shelf / name) for name in cache_names(shelf)}


def _wrong(folder: Path) -> str:
    try:
        damaged = len(open_cache_table(folder).damaged())
    except InputError as error:
        return error.what
    return f"{damaged} damaged answers" if damaged else ""


def remove_cache(shelf: Path, chosen: list[str]) -> int:
    """Take caches away; returns the bytes freed.

    Raises:
        UsageError: no cache of that name, or a run is writing it.
    """
    known = cache_names(shelf)
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"no cache named {name}",
                where=shelf,
                expected=", ".join(known) or "none is there",
                fix=f"tutelage cache list --folder {shelf}",
            )
    freed = 0
    for name in chosen:
        require_plain(path_inside(shelf, name, where=shelf), written=True)
        with hold_lock(shelf / name / ".lock", busy=partial(_refuse, shelf / name)):
            freed += cache_size(shelf / name)
            shutil.rmtree(shelf / name)
    return freed


def _refuse(folder: Path, holder: LockHolder | None) -> None:
    raise UsageError("a run is writing this cache", where=folder, found=holder)


@contextmanager
def cache_lock(folder: Path, world: World, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a cache for this run while the block lasts; `waiting` is called while another run has it.

    Raises:
        MachineError: the cache cannot be written.
    """
    if not world.first:
        yield
        return

    def wait(_holder: LockHolder | None) -> None:
        waiting()
        time.sleep(0.5)

    with disk_errors(folder):
        make_folder(folder)
    require_plain(folder, written=True)
    with hold_lock(folder / ".lock", busy=wait):
        recover_partial_writes(folder)
        yield
