"""A lock on a file: one process at a time. The file names the process that holds it.

The system releases a lock when its process ends, however it ends. A file left behind by a dead process is
taken over and rewritten.
"""

import datetime
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tutelage.storage.disk import disk_errors

_MOMENT = 1.0


class LockHolder(NamedTuple):
    """The process that holds a lock."""

    host: str
    process: int
    since: str
    """ISO 8601, UTC."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@contextmanager
def hold_lock(
    path: Path, *, busy: Callable[[LockHolder | None], None], remove: bool = False
) -> Iterator[None]:
    """Hold the lock while the block runs. Where the system or disk has no locks, just run the block.

    Args:
        path: the lock file.
        busy: called repeatedly while another process holds the lock, with that process if known; it waits
            or raises.
        remove: whether to remove the file at the end.

    Raises:
        MachineError: the file cannot be created.
    """
    with ExitStack() as stack:
        while True:
            with disk_errors(path):
                file = stack.enter_context(path.open("a+", encoding="utf-8"))
            if not _taken(file.fileno()):
                busy(_read(path))
            elif _is_there(file.fileno(), path):
                break
            stack.pop_all().close()  # held by another process, or just removed: try again
        with disk_errors(path):
            _write(file.fileno())
        try:
            yield
        finally:
            with suppress(OSError):  # a system may refuse to remove an open file
                os.ftruncate(file.fileno(), 0)
                if remove:
                    path.unlink()


def _taken(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # a system without such locks
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without such locks
        return True
    return True


def _is_there(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _write(handle: int) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    holder = LockHolder(socket.gethostname(), os.getpid(), now)
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(holder._asdict()).encode())


def _read(path: Path) -> LockHolder | None:
    """Read the holder from the file, waiting a moment in case it has just taken the lock."""
    end = time.monotonic() + _MOMENT
    while True:
        with suppress(OSError, ValueError, TypeError):
            return LockHolder(**json.loads(path.read_text(encoding="utf-8")))
        if time.monotonic() > end:
            return None
        time.sleep(0.01)
