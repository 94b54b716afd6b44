"""A lock beside a pack's place, so that one job at a time makes it."""

from contextlib import AbstractContextManager
from pathlib import Path

from tutelage.errors import UsageError
from tutelage.storage.lock import LockHolder, hold_lock


def pack_lock(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock for making the pack `folder` while the block runs.

    It is `.NAME.lock` beside the folder; see `hold_lock`.

    Raises:
        UsageError: another process holds it.
    """

    def refuse(holder: LockHolder | None) -> None:
        raise UsageError(
            "another process is packing into this folder",
            where=folder,
            found=holder,
            fix="wait for it, or choose another --out",
        )

    return hold_lock(folder.parent / f".{folder.name}.lock", busy=refuse, remove=True)
