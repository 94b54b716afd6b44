"""The members of a tar, plain or compressed by gzip, bzip2 or xz.

A plain tar is read where a member lies. A compressed one has no such place: it is decompressed once, from its
start to its end, and its images are held in memory; nothing is written.
"""

import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from lzma import LZMAError
from pathlib import Path

from tutelage.data.readers.archive_member import MOST_MEMBERS, Member
from tutelage.data.readers.file_names import HEAD, has_image_ending, is_image_start, may_be_image
from tutelage.data.readers.listing import LARGEST_FILE
from tutelage.data.readers.source import Unreadable
from tutelage.data.readers.tar_stream import TarStream, compression_of
from tutelage.errors import InputError

LARGEST_IN_MEMORY = 2 << 30
"""Bytes of the images of a compressed tar."""
_LARGEST_TABLE = 128 << 20
LARGEST_HEADER = 1 << 20
_BLOCK = 512
_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL = b"L", b"K", b"x", b"g"


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar, by its first bytes, or by its name where they do not tell."""
    try:
        with path.open("rb") as file:
            head = file.read(_BLOCK)
    except OSError:
        return False
    if compression_of(head) or head[257:262] == b"ustar":
        return True
    return path.name.lower().endswith(".tar") and not head.startswith(b"PK")


def tar_members(path: Path) -> Iterator[Member]:
    """Yield the members of a tar in its order.

    Raises:
        InputError: damaged, no tar, sparse, with too many members, or too large to be held in memory.
    """
    try:
        with TarStream(path) as stream:
            yield from _members(stream, path)
    except (OSError, EOFError, ValueError, zlib.error, LZMAError, tarfile.TarError) as error:
        raise InputError(
            "the tar is damaged, or no tar",
            where=path,
            found=str(error) or type(error).__name__,
            fix="create it again, or unpack it and give the folder",
        ) from error


def _members(stream: TarStream, path: Path) -> Iterator[Member]:
    name, size, kept, count = "", -1, 0, 0
    while (block := stream.read(_BLOCK)) != bytes(_BLOCK):
        if not block:
            raise EOFError("it ends without an end mark")
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.size < 0 or (info.type == tarfile.GNUTYPE_SPARSE):
            raise tarfile.HeaderError("a sparse member or one of negative size")
        if info.type in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL):
            if info.size > LARGEST_HEADER:
                raise tarfile.HeaderError(f"a header of {info.size:,} bytes")
            content = stream.read_exactly(info.size)
            stream.skip(-info.size % _BLOCK)
            if info.type == _LONG_NAME:
                name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif info.type == _PAX:
                facts = _pax(content)
                name, size = facts.get("path", name), int(facts.get("size", size))
            continue
        count += 1
        if count > MOST_MEMBERS:
            raise InputError("the tar has too many members", where=path, expected=MOST_MEMBERS)
        member, held = _member(stream, info, name or info.name, size if size >= 0 else info.size)
        kept += held
        if kept > LARGEST_IN_MEMORY:
            raise InputError(
                "the compressed tar is too large to be held in memory",
                where=path,
                expected=f"at most {LARGEST_IN_MEMORY >> 30} GiB of images",
                fix="unpack it and give the folder, or make a zip or a plain .tar of it",
            )
        if member.name != "./":  # the folder itself, which `tar -c .` begins with
            yield member
        name, size = "", -1
    if not stream.plain:  # the checksum of a compressed file stands behind it
        while stream.read(_BLOCK << 10):
            pass


def _member(
    stream: TarStream, info: tarfile.TarInfo, raw_name: str, size: int
) -> tuple[Member, int]:
    """Return the member whose header was just read, and the bytes of it that are held in memory."""
    name = raw_name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/") or "."
    stamp, place = f"{size}:{int(info.mtime)}", stream.position
    if info.isdir():
        return Member(f"{name.rstrip('/')}/", raw_name, 0, None, bytes, bytes, stamp), 0
    if not info.isreg():
        refusal = "a link or device in a tar"
        return Member(name, raw_name, 0, refusal, bytes, bytes, stamp), 0
    too_large = f"larger than {LARGEST_FILE >> 20} MB" if size > LARGEST_FILE else None
    if stream.plain:
        stream.skip(size + -size % _BLOCK)
        if place + size > stream.length:
            raise EOFError("it ends within a member")
        read = partial(_read_at, stream.path, place, size)
        head = partial(_head_at, stream.path, place, min(size, HEAD))
        return Member(name, raw_name, size, too_large, read, head, stamp), 0
    start = stream.read_exactly(min(size, HEAD))
    table = name.count("/") < 2 and size <= _LARGEST_TABLE
    image = has_image_ending(name) or (may_be_image(name) and is_image_start(start))
    whole = b""
    if (image or table) and not too_large:
        whole = start + stream.read_exactly(size - len(start))
    stream.skip(size - max(len(whole), len(start)) + -size % _BLOCK)
    member = Member(name, raw_name, size, too_large, lambda: whole, lambda: start, stamp)
    return member, len(whole)


def _pax(content: bytes) -> dict[str, str]:
    """Return the records of an extended header: `LENGTH KEY=VALUE` and a line end each."""
    facts = {}
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length[:8]) <= len(content):
            raise tarfile.HeaderError("an extended header that is damaged")
        record = content[len(length) + 1 : int(length) - 1].decode("utf-8", "surrogateescape")
        key, _, value = record.partition("=")
        facts[key] = value
        content = content[int(length) :]
    return facts


def _read_at(path: Path, place: int, size: int) -> bytes:
    """Read the bytes of one member of a plain tar.

    Raises:
        Unreadable: the tar is shorter than it was, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(place)
            raw = file.read(size)
    except OSError as error:
        raise Unreadable("damaged in the tar") from error
    if len(raw) != size:
        raise Unreadable("damaged in the tar")
    return raw


def _head_at(path: Path, place: int, size: int) -> bytes:
    try:
        return _read_at(path, place, size)
    except Unreadable:
        return b""
