"""Scan a folder on disk: regular files only, each real file once, never outside, never written."""

import errno
import os
import stat
from collections import deque
from functools import partial
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.data.readers.file_names import (
    HEAD,
    IMAGE_SUFFIXES,
    has_image_ending,
    is_ignored,
    is_image_start,
    may_be_image,
    not_an_image,
)
from tutelage.data.readers.layout import infer_layout
from tutelage.data.readers.listing import LARGEST_FILE, LINK_OUT, File, Listing
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source, Unreadable
from tutelage.errors import InputError
from tutelage.storage.safe_paths import find_irregular, is_within
from tutelage.text import escape

_Identity = tuple[int, int]
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_folder(folder: Path, settings: DataConfig) -> Source:
    """Open a source from a folder of class folders, or of train/, val/ and test/ that hold them.

    Raises:
        InputError: the folder is empty, cannot be listed, or has another layout.
    """
    listing = scan_folder(folder, follow=settings.links == "follow")
    about = {"kind": "folder", "name": escape(folder.resolve().name)}
    return infer_layout(listing, about, where=folder, settings=settings)


def scan_folder(root: Path, *, follow: bool = False) -> Listing:
    """List every image below a folder, by name. A link counts if its file is not listed otherwise.

    Args:
        root: the folder.
        follow: also take what links lead to outside the folder.
    """
    scan = _Scan(str(root), follow)
    scan.walk("")
    while scan.links:
        scan.follow(scan.links.popleft())
    scan.listing.files.sort()
    scan.listing.refused.sort()
    return scan.listing


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


class _Scan:
    """One scan of a folder: what it has found, and which links are still to be followed."""

    def __init__(self, root: str, into_others: bool) -> None:
        self.root, self.into_others = root, into_others
        self.listing = Listing()
        self.links: deque[str] = deque()
        self.seen: set[_Identity] = set()

    def walk(self, start: str) -> None:
        """List everything below a folder, except links, which wait."""
        pending = [start]
        while pending:
            folder = pending.pop()
            for entry in _entries(self.root, folder, self.listing):
                name = f"{folder}/{entry.name}" if folder else entry.name
                if reason := is_ignored(entry.name, folder=entry.is_dir(follow_symlinks=False)):
                    self.listing.pass_over(name, reason)
                elif entry.is_symlink():
                    self.links.append(name)
                elif isinstance(status := _status(entry), str):
                    self.listing.refused.append((name, status))
                elif not stat.S_ISDIR(status.st_mode):
                    self.take(name, status)
                elif (status.st_dev, status.st_ino) in self.seen:
                    self.listing.pass_over(name, "link to a folder already listed")
                elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                    self.listing.pass_over(name, "folder named like an image")
                else:
                    self.seen.add((status.st_dev, status.st_ino))
                    self.listing.folders.add(name)
                    pending.append(name)

    def take(self, name: str, status: os.stat_result) -> None:
        """List a file, if its ending or its content is that of an image."""
        regular = stat.S_ISREG(status.st_mode)
        if has_image_ending(name):
            if kind := find_irregular(status.st_mode):
                self.listing.refused.append((name, kind))
                return
        elif not (regular and may_be_image(name) and is_image_start(_head(f"{self.root}/{name}"))):
            if regular and "/" not in name:
                self.listing.note_top_file(listed_file(self.root, name, status))
            self.listing.pass_over(name, not_an_image(name))
            return
        self.seen.add((status.st_dev, status.st_ino))
        self.listing.files.append(listed_file(self.root, name, status))

    def follow(self, name: str) -> None:
        """Handle one symbolic link: refuse it, skip it, or take it as the file or folder it leads to."""
        try:
            target = os.path.realpath(f"{self.root}/{name}", strict=True)
            status = os.lstat(target)
        except OSError:
            if has_image_ending(name):
                self.listing.refused.append((name, "a broken link"))
            else:
                self.listing.pass_over(name, "broken link")
            return
        folder = stat.S_ISDIR(status.st_mode)
        if not is_within(target, self.root):
            if not self.into_others:
                self.listing.refused.append((name, LINK_OUT))
                return
            if folder and is_within(self.root, target):
                self.listing.refused.append((name, "a link to a folder around this one"))
                return
        if (status.st_dev, status.st_ino) in self.seen or target == os.path.realpath(self.root):
            self.listing.pass_over(name, "link to something already listed")
        elif folder:
            self.seen.add((status.st_dev, status.st_ino))
            self.listing.folders.add(name)
            self.walk(name)
        else:
            self.take(name, status)


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


def listed_file(root: str, name: str, status: os.stat_result) -> File:
    """Return a regular file for the listing; it is read only when needed."""
    return File(
        name, partial(read_image_file, f"{root}/{name}"), f"{status.st_size}:{status.st_mtime_ns}"
    )


def _head(path: str) -> bytes:
    """Return the first bytes of a regular file; none if it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
        with os.fdopen(handle, "rb", buffering=0) as file:
            return b"" if find_irregular(os.fstat(handle).st_mode) else file.read(HEAD)
    except OSError:
        return b""


def read_image_file(path: str, tries: int = 2) -> bytes:
    """Read the bytes of a regular file that does not change meanwhile.

    Raises:
        Unreadable: it cannot be opened, is no regular file, is too large, or keeps changing.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
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
    open=lambda _text, path, settings: open_folder(path, settings),
)
