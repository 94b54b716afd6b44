"""One job at a time makes a pack: a lock beside the place where the pack is to be."""

from contextlib import AbstractContextManager
from pathlib import Path

from tutelage.errors import UsageError
from tutelage.storage.lock import LockHolder, hold_lock


def pack_lock(folder: Path) -> AbstractContextManager[None]:
    """Make the pack that is to become `folder` in this job alone, while the block runs.

    The lock is `.NAME.lock` beside it; see `lock.hold`.

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
