"""Scan a folder on disk: regular files only, each real file once, never outside, never written."""

import errno
import os
import stat
from collections import deque
from functools import partial
from pathlib import Path

from tutelage.data.readers.layout import infer_layout
from tutelage.data.readers.listing import LARGEST_FILE, File, Listing
from tutelage.data.readers.names import IMAGE_SUFFIXES, is_ignored, is_not_image
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source, Unreadable
from tutelage.errors import InputError
from tutelage.storage.safe_paths import find_irregular, is_within
from tutelage.text import escape

_Identity = tuple[int, int]


def open_folder(folder: Path) -> Source:
    """Open a source from a folder of class folders, or of train/, val/ and test/ that hold them.

    Raises:
        InputError: the folder is empty, cannot be listed, or has another layout.
    """
    listing = scan_folder(folder)
    about = {"kind": "folder", "name": escape(folder.resolve().name)}
    return infer_layout(listing, about, where=folder)


def scan_folder(root: Path) -> Listing:
    """List every image below a folder, by name. A link counts if its file is not listed otherwise."""
    listing = Listing()
    seen: set[_Identity] = set()
    links: deque[str] = deque()
    _walk(str(root), "", listing, seen, links)
    while links:
        _follow(str(root), links.popleft(), listing, seen, links)
    listing.files.sort()
    listing.refused.sort()
    return listing


def open_image_file(path: Path) -> Listing:
    """List a single file, whatever its name.

    Raises:
        InputError: there is no such file.
    """
    listing = Listing()
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(
            "no such folder or image",
            where=escape(str(path)),
            found=getattr(error, "strerror", None) or error,
            fix="the path of an image or of a folder of images",
        ) from error
    if kind := find_irregular(status.st_mode):
        listing.refused.append((path.name, kind))
    else:
        listing.files.append(listed_file(str(path.parent), path.name, status))
    return listing


def _walk(root: str, start: str, listing: Listing, seen: set[_Identity], links: deque[str]) -> None:
    pending = [start]
    while pending:
        folder = pending.pop()
        for entry in _entries(root, folder, listing):
            name = f"{folder}/{entry.name}" if folder else entry.name
            reason = is_ignored(entry.name)
            if reason:
                listing.ignored[reason] += 1
            elif entry.is_symlink():
                links.append(name)
            elif isinstance(status := _status(entry), str):
                listing.refused.append((name, status))
            elif stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in seen:
                    listing.ignored["link to a folder already listed"] += 1
                elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                    listing.ignored["folder named like an image"] += 1
                else:
                    seen.add((status.st_dev, status.st_ino))
                    listing.folders.add(name)
                    pending.append(name)
            else:
                _take(root, name, status, listing, seen)


def _status(entry: os.DirEntry[str]) -> os.stat_result | str:
    """Return the status of an entry, or why it has none: it was removed, or its path is too long."""
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        return _os_reason(error)


def _entries(root: str, folder: str, listing: Listing) -> list[os.DirEntry[str]]:
    path = f"{root}/{folder}"
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if folder and error.errno in (errno.ENAMETOOLONG, errno.ENOENT):
            listing.refused.append((folder, _os_reason(error)))
            return []
        raise InputError(
            "cannot list a folder of images",
            where=escape(path),
            found=error.strerror,
            fix="give yourself permission to read it, or move it away",
        ) from error


def _take(
    root: str, name: str, status: os.stat_result, listing: Listing, seen: set[_Identity]
) -> None:
    reason = is_not_image(name)
    if reason:
        if name.lower().endswith(".csv") and "/" not in name and stat.S_ISREG(status.st_mode):
            listing.tables.append(listed_file(root, name, status))
        listing.ignored[reason] += 1
    elif kind := find_irregular(status.st_mode):
        listing.refused.append((name, kind))
    else:
        seen.add((status.st_dev, status.st_ino))
        listing.files.append(listed_file(root, name, status))


def _follow(
    root: str, name: str, listing: Listing, seen: set[_Identity], links: deque[str]
) -> None:
    """Handle one symbolic link: refuse it, skip it, or take it as the file or folder it leads to."""
    try:
        target = os.path.realpath(f"{root}/{name}", strict=True)
        status = os.lstat(target)
    except OSError:
        if not is_not_image(name):
            listing.refused.append((name, "a broken link"))
        return
    if not is_within(target, root):
        listing.refused.append((name, "a link out of the folder"))
    elif (status.st_dev, status.st_ino) in seen or target == os.path.realpath(root):
        listing.ignored["link to something already listed"] += 1
    elif stat.S_ISDIR(status.st_mode):
        seen.add((status.st_dev, status.st_ino))
        listing.folders.add(name)
        _walk(root, name, listing, seen, links)
    else:
        _take(root, name, status, listing, seen)


def listed_file(root: str, name: str, status: os.stat_result) -> File:
    """Return a regular file for the listing; it is read only when needed."""
    return File(
        name, partial(read_image_file, f"{root}/{name}"), f"{status.st_size}:{status.st_mtime_ns}"
    )


def read_image_file(path: str, tries: int = 2) -> bytes:
    """Read the bytes of a regular file that does not change meanwhile.

    Raises:
        Unreadable: it cannot be opened, is no regular file, is too large, or keeps changing.
    """
    try:
        handle = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with os.fdopen(handle, "rb") as file:
            before = os.fstat(handle)
            if kind := find_irregular(before.st_mode):
                raise Unreadable(kind)
            if before.st_size > LARGEST_FILE:
                raise Unreadable(f"larger than {LARGEST_FILE >> 20} MB")
            raw = file.read(before.st_size + 1)  # read() allocates the requested size up front
            after = os.fstat(handle)
    except OSError as error:
        raise Unreadable(_os_reason(error)) from error
    if len(raw) == before.st_size and before.st_mtime_ns == after.st_mtime_ns:
        return raw
    if tries > 1:
        return read_image_file(path, tries - 1)
    raise Unreadable("changes while it is read")


def _os_reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "gone since the scan"
    if isinstance(error, PermissionError):
        return "no permission to read"
    return (error.strerror or "cannot be read").lower()


READER = Reader(
    "a folder of images",
    accepts=lambda _text, path: path.is_dir(),
    open=lambda _text, path, _settings: open_folder(path),
)
