"""Check paths in untrusted folders: they must stay inside, and lead to regular files of bounded size.

An untrusted folder may contain links to other places, pipes that never end and files of any size.
`require_plain` checks all of it before anything in it is opened or written; `read_bounded` reads one file
and checks its kind and size after opening it. Changes to the folder while it is read are not covered.
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
    """Describe the kind of a file that is not regular; None if it is. Reading a pipe would hang."""
    kinds = (
        (stat.S_ISREG, None),
        (stat.S_ISFIFO, "a named pipe, not a file"),
        (stat.S_ISSOCK, "a socket, not a file"),
        (stat.S_ISDIR, "a folder, not a file"),
    )
    return next((word for test, word in kinds if test(mode)), "a device, not a file")


def is_within(path: str | Path, root: str | Path) -> bool:
    """Return whether a path, links resolved, is the root or below it."""
    top = os.path.realpath(root)
    return os.path.commonpath([os.path.realpath(path), top]) == top


def is_plain_name(name: str) -> bool:
    """Return whether a name is a valid file name without folders on every system.

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
    """Resolve a relative path that was read from the file `where`.

    Raises:
        InputError: the path is absolute, goes up, is too long or unprintable, or leaves the folder by a link.
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
    """Require that a folder holds only files and folders of its own, before it is used.

    Args:
        folder: may itself be a link, since the user named it.
        written: whether something in it will be written or removed; hard links are then rejected too.

    Raises:
        InputError: it contains a link that leaves it, a pipe, socket or device, a hard link, or too many
            files.
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
                fix="check where it leads and remove it, or replace it by a copy",
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
                fix="get permission to read it, or use a copy",
            ) from error


def _wrong(entry: "os.DirEntry[str]", root: str, *, written: bool) -> str | None:
    if entry.is_symlink():
        return None if is_within(entry.path, root) else "a link out of it"
    if entry.is_dir(follow_symlinks=False):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # another process has just renamed it
        return None
    if kind := find_irregular(status.st_mode):
        return kind
    return "a file with a second name elsewhere" if written and status.st_nlink > 1 else None


def read_bounded(path: Path, at_most: int) -> bytes:
    """Read a regular file of at most `at_most` bytes, without waiting on pipes or devices.

    Raises:
        OSError: the file cannot be opened or read.
        InputError: the file is not regular, or larger.
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
