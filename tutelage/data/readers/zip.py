"""The members of a zip, and the bundled sample, which is one."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tutelage.data.readers.archive_member import MOST_MEMBERS, MOST_RATIO, Member
from tutelage.data.readers.file_names import HEAD
from tutelage.data.readers.listing import LARGEST_FILE
from tutelage.data.readers.reading import EXPECTED
from tutelage.data.readers.source import Unreadable
from tutelage.errors import InputError

SAMPLE = Path(__file__).parents[2] / "samples" / "fashion-mnist.zip"
"""13,000 Fashion-MNIST images of 10 classes, the test part unlabelled."""
RATIO_MATTERS_ABOVE = 1 << 20


def zip_members(path: Path) -> Iterator[Member]:
    """Yield the members of a zip in the order of its directory.

    Raises:
        InputError: not a zip, encrypted, or with too many members.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            "not a folder, a table, a zip or a tar that can be read",
            where=path,
            found=error,
            expected=EXPECTED,
        ) from error
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise InputError(
            "the zip has too many members", where=path, found=len(infos), expected=MOST_MEMBERS
        )
    for info in infos:
        if info.flag_bits & 1:
            raise InputError(
                "the zip is encrypted", where=path, fix="create one without a password"
            )
        yield Member(
            info.filename.replace("\\", "/"),
            info.filename,
            info.file_size,
            _refusal(info),
            partial(_read, archive, info),
            partial(_head, archive, info),
            f"{info.file_size}:{info.CRC:08x}",
        )


def _refusal(member: zipfile.ZipInfo) -> str | None:
    """Return why a member is not read, or None."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "compressed in a way that is not read"  # others allocate whatever a header claims
    kind = stat.S_IFMT(member.external_attr >> 16) if member.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG):
        return "a link or device in a zip"
    if member.file_size > LARGEST_FILE:
        return f"larger than {LARGEST_FILE >> 20} MB"
    ratio = member.file_size / max(member.compress_size, 1)
    if member.file_size > RATIO_MATTERS_ABOVE and ratio > MOST_RATIO:
        return f"inflates {ratio:.0f}-fold"
    return None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read the bytes of one member, no more than the zip's directory declares.

    Raises:
        Unreadable: damaged, of an unknown compression, or longer than declared.
    """
    raw = _first(archive, member, member.file_size + 1)
    if len(raw) != member.file_size:
        raise Unreadable("damaged in the zip")
    return raw


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return _first(archive, member, HEAD)
    except Unreadable:
        return b""


def _first(archive: zipfile.ZipFile, member: zipfile.ZipInfo, count: int) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(count)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Unreadable("damaged in the zip") from error
