"""List, verify, remove and lock the caches in a folder."""

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
    """A summary of one cache."""

    name: str
    """Name of its folder."""

    manifest: dict[str, Any]
    """Contents of its manifest."""

    answers: int
    """Number of records."""

    images: int
    """Number of different images."""

    views: int
    """Number of different views."""

    bytes: int
    """Size on disk."""


def cache_names(root: Path) -> list[str]:
    """List the caches in a folder, including damaged ones.

    Raises:
        UsageError: no such folder.
    """
    if not root.is_dir():
        raise UsageError(
            "no teachers' answers are kept there",
            where=root,
            fix="--folder with the folder `teacher-cache` beside the runs",
        )
    return sorted(path.parent.name for path in root.glob("*/manifest.json"))


def cache_entry(folder: Path) -> CacheEntry:
    """Summarize a cache.

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
    """Return the size of a cache on disk in bytes."""
    return sum(file.stat().st_size for file in folder.iterdir())


def verify_cache(root: Path) -> dict[str, str]:
    """Read every record; return for each cache, by name, what is damaged, or an empty string."""
    return {name: _damage(root / name) for name in cache_names(root)}


def _damage(folder: Path) -> str:
    try:
        damaged = len(open_cache_table(folder).damaged())
    except InputError as error:
        return error.what
    return f"{damaged} damaged answers" if damaged else ""


def remove_cache(root: Path, chosen: list[str]) -> int:
    """Remove caches; returns the bytes freed.

    Raises:
        UsageError: no cache of that name, or a run is writing it.
    """
    known = cache_names(root)
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"no cache named {name}",
                where=root,
                expected=", ".join(known) or "none is there",
                fix=f"tutelage cache list --folder {root}",
            )
    freed = 0
    for name in chosen:
        require_plain(path_inside(root, name, where=root), written=True)
        with hold_lock(root / name / ".lock", busy=partial(_refuse, root / name)):
            freed += cache_size(root / name)
            shutil.rmtree(root / name)
    return freed


def _refuse(folder: Path, holder: LockHolder | None) -> None:
    raise UsageError("a run is writing this cache", where=folder, found=holder)


@contextmanager
def cache_lock(folder: Path, world: World, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a cache during the block; `waiting` is called while another run has it.

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
