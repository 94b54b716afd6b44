"""Read a zip of images in memory, member by member; nothing is ever extracted.

A zip holds what a folder may hold, or one CSV table at its top with its images. Anything harmful is refused:
absolute names, `..`, links, names that occur twice, members that inflate out of proportion.
"""

import stat
import zipfile
import zlib
from functools import partial
from pathlib import Path

from tutelage.data.readers.csv import LARGEST_TABLE, is_csv, read_csv
from tutelage.data.readers.layout import EXPECTED, infer_layout
from tutelage.data.readers.listing import LARGEST_FILE, File, Listing
from tutelage.data.readers.names import SPLIT_FOLDERS, is_ignored, is_not_image
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source, Unreadable
from tutelage.errors import InputError
from tutelage.text import escape

SAMPLE = Path(__file__).parents[2] / "samples" / "fashion-mnist.zip"
MOST_MEMBERS = 2_000_000
MOST_RATIO = 200
RATIO_MATTERS_ABOVE = 1 << 20


def open_sample() -> Source:
    """Open the bundled sample: 13,000 Fashion-MNIST images of 10 classes, the test part unlabelled."""
    return infer_layout(scan_zip(SAMPLE), {"kind": "sample", "name": "fashion-mnist"}, where=SAMPLE)


def open_zip(path: Path) -> Source:
    """Open a source from a zip of what a folder may hold, or of a CSV table and its images.

    Raises:
        InputError: not a zip, encrypted, with harmful names, or of another layout.
    """
    listing = scan_zip(path)
    about = {"kind": "zip", "name": escape(path.name)}
    try:
        tables = [file for file in listing.tables if is_csv(file.read())]
    except Unreadable as error:
        raise InputError("cannot read the table", where=path, found=error.reason) from error
    if len(tables) == 1:
        files = {file.name: file for file in listing.files}
        reasons = dict(listing.refused)
        listing.refused.clear()
        return read_csv(
            tables[0].read(),
            lambda name: files.get(name) or reasons.get(name),
            listing,
            about,
            path,
        )
    return infer_layout(listing, about, where=path)


def scan_zip(path: Path) -> Listing:
    """List every image in a zip, by name; a single folder around everything is dropped from the names."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            "not a folder, a CSV table or a zip that can be read",
            where=path,
            found=error,
            expected=EXPECTED,
        ) from error
    members = _members(archive, path)
    names = [name for name in members if not _ignored(name)]
    around = _around(names)
    listing = Listing()
    for name, member in members.items():
        _list(archive, name, member, around, listing)
    listing.files.sort()
    return listing


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise InputError(
            "the zip has too many members", where=path, found=len(infos), expected=MOST_MEMBERS
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.replace("\\", "/")
        parts = name.removesuffix("/").split("/")
        if name.startswith("/") or ":" in parts[0] or not {"", ".", ".."}.isdisjoint(parts):
            raise InputError(
                "the zip has a member with an unsafe name",
                where=path,
                found=repr(escape(info.filename)),
                expected="relative names without `..`",
            )
        if name in members and not name.endswith("/"):
            raise InputError(
                "the zip holds a name twice",
                where=path,
                found=repr(escape(name)),
                fix="create the zip again",
            )
        if info.flag_bits & 1:
            raise InputError(
                "the zip is encrypted", where=path, fix="create one without a password"
            )
        members[name] = info
    return members


def _ignored(name: str) -> str | None:
    reasons = (is_ignored(part) for part in name.removesuffix("/").split("/"))
    return next(filter(None, reasons), None)


def _around(names: list[str]) -> str:
    """Return the folder around all members, if it holds folders or a table itself; else ''."""
    tops = {name.split("/")[0] for name in names}
    if len(tops) != 1 or any("/" not in name for name in names):
        return ""
    (top,) = tops
    inner = {parts[1] for name in names if len(parts := name.split("/")) > 2}
    has_table = any(name.lower().endswith(".csv") and name.count("/") == 1 for name in names)
    wraps = len(inner) > 1 or has_table
    return f"{top}/" if wraps and top.lower() not in SPLIT_FOLDERS else ""


def _list(
    archive: zipfile.ZipFile, full: str, member: zipfile.ZipInfo, around: str, listing: Listing
) -> None:
    """Add one member to the listing: as a folder, an image, a table, refused or skipped."""
    name = full.removeprefix(around)
    if reason := _ignored(full):
        listing.ignored[reason] += 1
        return
    parts = name.split("/")
    listing.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))} - {""}
    if name.endswith("/") or not name:
        return
    file = File(name, partial(_read, archive, member), f"{member.file_size}:{member.CRC:08x}")
    if reason := is_not_image(name):
        listing.ignored[reason] += 1
        small = member.file_size <= LARGEST_TABLE
        if name.lower().endswith(".csv") and len(parts) == 1 and small and not _refusal(member):
            listing.tables.append(file)
    elif reason := _refusal(member):
        listing.refused.append((name, reason))
    else:
        listing.files.append(file)


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
    try:
        with archive.open(member) as file:
            raw = file.read(member.file_size + 1)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Unreadable("damaged in the zip") from error
    if len(raw) != member.file_size:
        raise Unreadable("damaged in the zip")
    return raw


READER = Reader(
    "a zip of either",
    accepts=lambda _text, path: path.is_file(),
    open=lambda _text, path, _settings: open_zip(path),
)

SAMPLE_READER = Reader(
    "the bundled sample",
    accepts=lambda text, _path: text == "sample",
    open=lambda _text, _path, _settings: open_sample(),
)
