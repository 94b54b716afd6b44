"""Paths in what a stranger made: they stay inside its folder, and lead to regular files of a stated size.

A folder that was handed over may hold links to other places, pipes that never end and files of any size.
`require_plain` looks at all of it before anything in it is opened or written; `read_bounded` reads one
file whose kind and size are checked after it is open. Somebody who changes a folder while it is read is
not defended against.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from tutelage.errors import InputError
from tutelage.text import escape

MOST_ENTRIES = 1_000_000
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def find_irregular(mode: int) -> str | None:
    """What a file is if not a regular one, or None. Such files are never opened: pipes hang."""
    kinds = (
        (stat.S_ISREG, None),
        (stat.S_ISFIFO, "a named pipe, not a file"),
        (stat.S_ISSOCK, "a socket, not a file"),
        (stat.S_ISDIR, "a folder, not a file"),
    )
    return next((word for test, word in kinds if test(mode)), "a device, not a file")


def is_within(path: str | Path, root: str | Path) -> bool:
    """Whether the real place of a path is the root or below it."""
    top = os.path.realpath(root)
    return os.path.commonpath([os.path.realpath(path), top]) == top


def is_plain_name(name: str) -> bool:
    """Whether a name that a file holds is one of a file in the same folder, on any system.

    >>> is_plain_name("layer1.0.bin"), is_plain_name("../a"), is_plain_name("C:a"), is_plain_name("")
    (True, False, False, False)
    """
    return (
        0 < len(name) <= 200
        and name.isprintable()
        and name not in (".", "..")
        and not set(name) & set('/\\:*?"<>|')
    )


def path_inside(folder: Path, name: str, *, where: Path) -> Path:
    """The file or folder that a relative path in the file `where` names.

    Raises:
        InputError: the path is absolute, goes up, is none that a disk can hold, or leads out of the folder
            over a link.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    odd = not parts or name != escape(name) or ".." in parts or len(name) > 1000
    unsafe = odd or PureWindowsPath(name).anchor or any(len(part.encode()) > 255 for part in parts)
    if unsafe or name.startswith("/") or not is_within(folder / name, folder):
        raise InputError(
            "a file names a path outside its folder",
            where=where,
            found=name,
            expected=f"a relative path that stays in {folder}",
        )
    return folder / name


def require_plain(folder: Path, *, written: bool = False) -> None:
    """Look at everything below a folder before it is used: files and folders, no way out.

    Args:
        folder: itself may be a link, since a person named it.
        written: something in it will be written or removed, so that a file with a second name elsewhere
            (a hard link) is refused as well.

    Raises:
        InputError: a link out of the folder, a pipe, socket or device, a hard link, too many files.
    """
    for count, entry in enumerate(_entries(str(folder))):
        if count >= MOST_ENTRIES:
            raise InputError("too many files in a folder", where=folder, expected=MOST_ENTRIES)
        wrong = _wrong(entry, str(folder), written=written)
        if wrong is not None:
            raise InputError(
                f"there is {wrong} in the folder",
                where=entry.path,
                expected="files and folders of its own",
                fix="look where it leads and remove it, or put a copy in its place",
            )


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                for entry in found:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except FileNotFoundError:
            continue
        except NotADirectoryError as error:
            raise InputError(
                "not a folder",
                where=folder,
                found="a file",
                expected="a run folder or a model folder",
            ) from error
        except OSError as error:
            raise InputError(
                "cannot list a folder",
                where=folder,
                found=error.strerror,
                fix="give yourself permission to read it, or use a copy",
            ) from error


def _wrong(entry: "os.DirEntry[str]", root: str, *, written: bool) -> str | None:
    if entry.is_symlink():
        return None if is_within(entry.path, root) else "a link out of it"
    if entry.is_dir(follow_symlinks=False):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # a process at work there has just renamed it
        return None
    if kind := find_irregular(status.st_mode):
        return kind
    return "a file with a second name elsewhere" if written and status.st_nlink > 1 else None


def read_bounded(path: Path, at_most: int) -> bytes:
    """The bytes of a regular file of no more than `at_most` bytes; a pipe or device is never waited for.

    Raises:
        OSError: it cannot be opened or read.
        InputError: it is no regular file, or larger.
    """
    handle = os.open(path, _FLAGS)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if kind := find_irregular(status.st_mode):
            raise InputError("cannot read the file", where=path, found=kind)
        content = file.read(at_most + 1) if status.st_size <= at_most else b""
        size = max(status.st_size, len(content))
    if size > at_most:
        raise InputError(
            "the file is too large for what it should be",
            where=path,
            found=f"{size:,} bytes",
            expected=f"at most {at_most:,}",
        )
    return content
