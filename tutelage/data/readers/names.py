"""Names from outside: which files count, and which class names are equal."""

import unicodedata
from pathlib import PurePosixPath

from tutelage.data.readers.source import Split
from tutelage.text import escape

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif")
) | {".tif", ".tiff"}
# Images of other kinds: listed, so that they are set aside with a reason rather than skipped.
OTHER_IMAGES = frozenset(
    (".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".tga", ".ppm", ".pgm")
)
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def is_ignored(name: str) -> str | None:
    """Return why a file or folder of this name is ignored (hidden, system file), or None."""
    if name.startswith("."):
        return "hidden"
    return "system file" if name.lower() in SYSTEM_FILES else None


def is_not_image(name: str) -> str | None:
    """Return why a file is not taken for an image by its name, or None; its content is checked later.

    A file without a suffix is skipped: folders hold LICENSE and Makefile more often than images.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in OTHER_IMAGES:
        return None
    return f"{escape(suffix)} file" if suffix else "file without an ending"


def class_name(raw: str) -> str:
    """Return the class name of a folder or table cell: text in one Unicode form (NFC)."""
    return unicodedata.normalize("NFC", escape(raw))


def same_class_key(name: str) -> str:
    """Return a key that is equal for class names too alike to distinguish ("Cat" and "cat")."""
    return unicodedata.normalize("NFC", class_name(name).casefold())
