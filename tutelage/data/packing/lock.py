"""One job at a time makes a pack: a lock beside the place where the pack is to be."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tutelage.errors import UsageError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the pack that is to become `folder` in this job alone, while the block runs.

    The lock is `.NAME.lock` beside it; the system lets go of it when its process ends, however.

    Raises:
        UsageError: another process holds it.
    """
    path = folder.parent / f".{folder.name}.lock"
    with ExitStack() as stack:
        while True:
            file = stack.enter_context(path.open("a+"))
            _lock(file.fileno(), path, folder)
            if _is_there(file.fileno(), path):
                break
            stack.pop_all().close()  # the one who held it has just removed it: again, a new file
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        stack.callback(_remove, path)  # before the file is closed, while nobody else can hold it
        yield


def _lock(handle: int, path: Path, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # a system without such locks
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            "another process is packing into this folder",
            where=folder,
            found=path.read_text().strip() or None,
            fix="wait for it, or choose another --out",
        ) from error
    except OSError:  # a disk without such locks
        return


def _is_there(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    with suppress(
        OSError
    ):  # where an open file cannot be removed, it stays: it is empty of meaning
        path.unlink()
