"""Read a zip or a tar as the list of files that a folder would be; nothing is ever extracted.

It holds what a folder may hold, or tables at its top with their images. Anything harmful is refused:
absolute names, `..`, links, names that occur twice, members that inflate out of proportion.
"""

from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.data.readers.archive_member import Member
from tutelage.data.readers.file_names import (
    find_ignored,
    has_image_ending,
    is_image_start,
    may_be_image,
    not_an_image,
)
from tutelage.data.readers.layout import infer_layout
from tutelage.data.readers.listing import File, Listing, is_table_name
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source
from tutelage.data.readers.split_names import split_of
from tutelage.data.readers.tables.archived import has_named_table, open_archived_tables
from tutelage.data.readers.tables.table import LARGEST_TABLE
from tutelage.data.readers.tar import is_tar, tar_members
from tutelage.data.readers.zip import zip_members
from tutelage.errors import InputError
from tutelage.text import escape


def open_archive(path: Path, settings: DataConfig) -> Source:
    """Open a source from a zip or tar of what a folder may hold, or of tables and their images.

    Raises:
        InputError: neither, encrypted, with harmful names, or of another layout.
    """
    listing = scan_archive(path)
    about = {"kind": "tar" if is_tar(path) else "zip", "name": escape(path.name)}
    if has_named_table(listing, path):
        return open_archived_tables(listing, settings, about, where=path)
    try:
        return infer_layout(listing, about, where=path, settings=settings)
    except InputError as error:
        if not listing.tables:
            raise
        try:
            return open_archived_tables(listing, settings, about, where=path)
        except InputError:
            raise error from None


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or a tar, by its first bytes: an image may have a zip behind it."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK" or is_tar(path)
    except OSError:
        return False


def scan_archive(path: Path) -> Listing:
    """List every image in an archive, by name; a single folder around everything is dropped from the names.

    Raises:
        InputError: it cannot be read, or has harmful names.
    """
    kind, found = ("tar", tar_members(path)) if is_tar(path) else ("zip", zip_members(path))
    members: dict[str, Member] = {}
    for member in found:
        _require_safe(member, members, kind, path)
        members[member.name] = member
    ignored = {name: reason for name in members if (reason := find_ignored(name))}
    around = _around([name for name in members if name not in ignored])
    listing = Listing()
    for place, why in sorted(set(ignored.values())):  # a folder of a system once, as on disk
        listing.pass_over(place.removeprefix(around), why)
    for name, member in members.items():
        if name not in ignored:
            _list(name.removeprefix(around), member, listing)
    listing.files.sort()
    return listing


def _require_safe(member: Member, before: dict[str, Member], kind: str, path: Path) -> None:
    """Refuse an archive with a name that leaves it, or that occurs twice."""
    parts = member.name.removesuffix("/").split("/")
    if member.name.startswith("/") or ":" in parts[0] or not {"", ".", ".."}.isdisjoint(parts):
        raise InputError(
            f"the {kind} has a member with an unsafe name",
            where=path,
            found=repr(escape(member.raw_name)),
            expected="relative names without `..`",
        )
    if member.name in before and not member.name.endswith("/"):
        raise InputError(
            f"the {kind} holds a name twice",
            where=path,
            found=repr(escape(member.name)),
            fix=f"create the {kind} again",
        )


def _around(names: list[str]) -> str:
    """Return the folder around all members, if it holds folders or a table itself; else ''."""
    tops = {name.split("/")[0] for name in names}
    if len(tops) != 1 or any("/" not in name for name in names):
        return ""
    (top,) = tops
    inner = {parts[1] for name in names if len(parts := name.split("/")) > 2}
    has_table = any(name.count("/") == 1 and is_table_name(name) for name in names)
    wraps = len(inner) > 1 or has_table
    return f"{top}/" if wraps and not split_of(top) else ""


def _list(name: str, member: Member, listing: Listing) -> None:
    """Add one member to the listing: as a folder, an image, a table, refused or passed over."""
    parts = name.split("/")
    listing.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))} - {""}
    if name.endswith("/") or not name:
        return
    file = File(name, member.read, member.stamp)
    readable = member.refusal is None
    by_content = readable and may_be_image(name) and is_image_start(member.head())
    if not has_image_ending(name) and not by_content:
        listing.pass_over(name, not_an_image(name))
        if len(parts) == 1 and readable and member.size <= LARGEST_TABLE:
            listing.note_top_file(file)
    elif member.refusal:
        listing.refused.append((name, member.refusal))
    else:
        listing.files.append(file)


READER = Reader(
    "a zip or tar of either",
    accepts=lambda _text, path: path.is_file(),
    open=lambda _text, path, settings: open_archive(path, settings),
)
