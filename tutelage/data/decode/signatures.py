"""Recognise a file's format by its first and last bytes, so that only known images are decoded."""

from pathlib import PurePosixPath

_OURS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_OTHERS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "icon"),
    (b"SIMPLE  =", "FITS"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"version https://git-lfs", "Git LFS pointer, not the file itself"),
)
_SHORTEST = 12
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}


def file_family(raw: bytes) -> str | None:
    """Return the image format of the first bytes, or None if it is not one that is read."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, starts in _OURS.items() if raw.startswith(starts)), None)


def foreign_format(raw: bytes) -> str:
    """Return why bytes that are no image of a known format are refused."""
    if not raw:
        return "empty file"
    if not raw.strip(b"\0"):
        return "only zero bytes"
    if len(raw) < _SHORTEST:
        return f"only {len(raw)} bytes"
    if raw[4:8] == b"ftyp":
        brand = raw[8:12]
        name = {b"avif": "AVIF", b"avis": "AVIF"}.get(
            brand, "HEIC" if brand[:2] in (b"he", b"mi") else "video"
        )
        return f"format not supported: {name}"
    for start, name in _OTHERS:
        if raw.startswith(start):
            return (
                f"not an image: {name}" if name not in _IMAGES else f"format not supported: {name}"
            )
    head = raw[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "format not supported: SVG"
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "not an image: HTML"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "not an image: text"
    return "not an image"


_IMAGES = frozenset({"Photoshop", "icon", "FITS", "JPEG 2000", "JPEG XL"})


def is_truncated(raw: bytes) -> bool:
    """Return whether the header declares a longer file than this one (WebP and TIFF)."""
    kind = file_family(raw)
    if kind == "WEBP":
        return int.from_bytes(raw[4:8], "little") + 8 > len(raw)
    if kind == "TIFF":
        return int.from_bytes(raw[4:8], "little" if raw[:1] == b"I" else "big") + 2 > len(raw)
    return False


def wrong_suffix(name: str, raw: bytes) -> str | None:
    """Return a note where the suffix of a name and the content disagree, such as `PNG named .jpg`."""
    kind, suffix = file_family(raw), PurePosixPath(name).suffix.lower()
    if kind is None or not suffix or suffix in _SUFFIXES[kind]:
        return None
    return f"{kind} named {suffix}" if suffix.isascii() else f"{kind} under another ending"


def end_note(raw: bytes) -> str | None:
    """Return a note about the last bytes: something after the image, or a PNG without its end."""
    kind = file_family(raw)
    if kind == "JPEG":
        return None if raw.rstrip(b"\0").endswith(b"\xff\xd9") else "trailing bytes"
    if kind == "PNG":
        end = raw.rfind(b"IEND")
        return "no end mark" if end < 0 else "trailing bytes" if len(raw) > end + 8 else None
    if kind == "WEBP":
        declared = int.from_bytes(raw[4:8], "little") + 8
        return "trailing bytes" if len(raw) > declared + declared % 2 else None
    return None
