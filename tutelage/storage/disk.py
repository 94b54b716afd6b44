"""Turn disk errors into messages: one for each kind of failure, with path, bytes and remedy."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.errors import InputError, MachineError, TutelageError

_AGAIN = "the same command again (a run that has begun: tutelage resume FOLDER)"
_ROOM = f"make room or choose another --out, then {_AGAIN}"

FIXES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: f"the quota of your account is used up: {_ROOM}",
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f), then {_AGAIN}",
    errno.EIO: "the disk itself reports an error: look at the system's log, and choose another --out",
    errno.EROFS: "the disk can only be read: mount it for writing, or choose another --out",
    errno.EACCES: "permission to write there, or another --out",
    errno.EPERM: "permission to write there, or another --out",
    errno.EMFILE: f"raise the limit on open files (ulimit -n 4096), then {_AGAIN}",
    errno.ENFILE: f"the system has too many files open: close programs, then {_AGAIN}",
}
"""What to do, by error number: failures of the machine, not of the program."""

_NO_PLACE = {
    errno.ENOENT: "a folder that is there, or another --out",
    errno.ENOTDIR: "a folder in place of the file on the way there, or another --out",
    errno.EISDIR: "the name of a file rather than of a folder",
}
"""What to do where a path cannot be."""

_RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # in messages of libraries written in Rust


def machine_error(path: Path, error: OSError, *, needed: int | None = None) -> MachineError:
    """Build the error for a file that could not be written.

    Args:
        path: the file or folder.
        error: the system's error.
        needed: bytes to be written, if known.
    """
    found = error.strerror or str(error)
    if needed is not None:
        found += f"; {megabytes(needed)} needed"
    if (free := free_bytes(path.parent)) is not None:
        found += f", {megabytes(free)} free"
    return MachineError(
        f"cannot write {path.name}",
        where=path.parent,
        found=found,
        fix={**FIXES, **_NO_PLACE}.get(error.errno or 0, _ROOM),
    )


@contextmanager
def disk_errors(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Convert system errors in the block to a MachineError about `path`; see `machine_error`."""
    try:
        yield
    except TutelageError:
        raise
    except OSError as error:
        raise machine_error(path, error, needed=needed) from error
    except Exception as error:
        found = _RUST_ERROR.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise machine_error(path, OSError(number, os.strerror(number)), needed=needed) from error


def from_os_error(error: OSError | MemoryError) -> TutelageError:
    """Build the error for a system error of unknown origin: which file, and why.

    >>> from_os_error(OSError(36, "File name too long", "x" * 300)).exit_code
    3
    """
    if isinstance(error, MemoryError):
        return MachineError(
            "there is not enough memory", fix="a smaller --batch-size or image size"
        )
    kind = InputError if error.errno in _OF_THE_NAME else MachineError
    return kind(
        "a file operation failed",
        where=error.filename,
        found=error.strerror or type(error).__name__,
        fix=FIXES.get(
            error.errno or 0, "check the path, its permissions, and the room on the disk"
        ),
    )


_OF_THE_NAME = (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


def free_bytes(folder: Path) -> int | None:
    """Return the free bytes on the disk of a folder, which need not exist yet; None if unknown."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def require_free(path: Path, needed: int) -> None:
    """Require room for a file before writing it.

    Raises:
        MachineError: fewer than `needed` bytes are free at `path`.
    """
    free = free_bytes(path.parent)
    if free is not None and free < needed:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise machine_error(path, full, needed=needed)


def megabytes(count: int) -> str:
    """Format a number of bytes.

    >>> megabytes(1_234), megabytes(83_300_000)
    ('1,234 bytes', '83.3 MB')
    """
    return f"{count:,} bytes" if count < 100_000 else f"{count / 1e6:,.1f} MB"
