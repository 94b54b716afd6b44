"""Which files and folders count: what is hidden or of a system is passed over, and so is what is no image.

A file with the ending of an image is an image until its content says otherwise. A file without an ending, or
with one that says nothing, is an image if its first bytes are. Texts are not looked at, nor copies that
programs leave behind, nor raw files of cameras, which begin like a TIFF.
"""

import re
from pathlib import PurePosixPath

from tutelage.data.decode.signatures import image_start
from tutelage.text import escape


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{word}" for word in text.split())


IMAGE_SUFFIXES = _endings(
    "jpg jpeg jpe jfif mpo png apng webp bmp dib gif tif tiff ppm pgm pbm pnm avif avifs jp2 j2k j2c jpc jpf "
    "jpx tga pcx sgi qoi ras"
)
OTHER_IMAGES = _endings("heic heif jxl svg psd ico icns dds exr hdr eps dcm xcf")
"""Images of other kinds: listed, so that they are set aside with a reason rather than skipped."""
HEAD = 64
"""Bytes of a file that are looked at where its name does not say what it is."""

_SYSTEM = frozenset(
    {
        *(
            "thumbs.db",
            "ehthumbs.db",
            "ehthumbs_vista.db",
            "iconcache.db",
            "desktop.ini",
            "autorun.inf",
        ),
        *(
            "__macosx",
            "_ds_store",
            "icon\r",
            "__pycache__",
            "picasa.ini",
            "lost+found",
            "recycler",
            "recycled",
        ),
        *(
            "system volume information",
            "network trash folder",
            "temporary items",
            "#recycle",
            "#snapshot",
        ),
    }
)
_SYSTEM_FOLDER = re.compile(r"[$@][a-z].*|found\.\d{3}", re.IGNORECASE | re.DOTALL)
_TEXTS = _endings(
    "txt csv tsv json jsonl xml html htm md rst yaml yml toml ini cfg log py ipynb m r sh js css tex"
)
_LEFT_BEHIND = _endings("bak old orig tmp temp swp part partial crdownload download")
_RAW = _endings(
    "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f "
    "svs ndpi scn lsm ovr"
)
_UNREAD = _TEXTS | _LEFT_BEHIND | _RAW


def is_ignored(name: str, *, folder: bool = False) -> str | None:
    """Return why a file or folder of this name is ignored (hidden, of a system), or None.

    >>> is_ignored(".git"), is_ignored("@eaDir", folder=True), is_ignored("$5", folder=True)
    ('hidden', 'system file', None)
    """
    if name.startswith("."):
        return "hidden"
    of_system = name.lower() in _SYSTEM or (folder and _SYSTEM_FOLDER.fullmatch(name))
    return "system file" if of_system else None


def find_ignored(path: str) -> tuple[str, str] | None:
    """Return the first part of a path that is ignored, as a path, and why; a folder's path ends with `/`.

    >>> find_ignored("a/@eaDir/1.png/x.jpg"), find_ignored("a/b/"), find_ignored("a/.b")
    (('a/@eaDir', 'system file'), None, ('a/.b', 'hidden'))
    """
    parts = path.removesuffix("/").split("/")
    for depth, part in enumerate(parts, 1):
        if reason := is_ignored(part, folder=depth < len(parts) or path.endswith("/")):
            return "/".join(parts[:depth]), reason
    return None


def has_image_ending(name: str) -> bool:
    """Return whether a file is an image by its name."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or suffix in OTHER_IMAGES


def may_be_image(name: str) -> bool:
    """Return whether the content of a file without the ending of an image is worth looking at."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix not in _UNREAD and not name.endswith("~")


def is_image_start(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of an image."""
    return image_start(head) is not None


def not_an_image(name: str) -> str:
    """Return why a file without the ending or content of an image is passed over."""
    suffix = PurePosixPath(name).suffix.lower()
    return f"{escape(suffix)} file" if suffix else "file without an ending"
