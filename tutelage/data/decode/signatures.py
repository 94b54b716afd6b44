"""Recognise a file's format by its first and last bytes, so that only known images are decoded."""

import re
from pathlib import PurePosixPath

_STARTS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "SGI": (b"\x01\xda\0", b"\x01\xda\x01"),
    "QOI": (b"qoif",),
    "SUN": (b"\x59\xa6\x6a\x95",),
}
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+[0-9]+(?:\s|#[^\n]*\n)")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_OTHERS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "icon"),
    (b"SIMPLE  =", "FITS"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"Pf", "floating-point map"),
    (b"PF", "floating-point map"),
    (b"P7", "PAM"),
    (b"DDS ", "DDS"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"gimp xcf", "GIMP"),
    (b"icns", "icon"),
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
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "PCX": (".pcx",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "QOI": (".qoi",),
    "SUN": (".ras", ".sun"),
}
FAMILIES = tuple(_SUFFIXES)
"""Formats that are read, by the names of Pillow; MPO is opened as a JPEG."""


def file_family(raw: bytes) -> str | None:
    """Return the image format of a file by its content, or None if it is not one that is read."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WEBP"
    if _isobmff_name(raw) == "AVIF":
        return "AVIF"
    for name, starts in _STARTS.items():
        if raw.startswith(starts):
            return name
    if _PNM.match(raw[:512]):
        return "PPM"
    if _is_pcx(raw):
        return "PCX"
    return "TGA" if _is_tga(raw) else None


def image_start(head: bytes) -> str | None:
    """Return the image format that the first bytes of a file are typical of, or None.

    Formats that a few bytes do not tell from others are left out; HEIC and JPEG XL, not read, are in.
    """
    family = file_family(head)
    if family == "BMP":
        known = head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
        return family if known else None
    if family and family not in ("TGA", "PCX", "SGI"):
        return family
    if head.startswith(b"\0\0\0\x0cJXL "):
        return "JPEG XL"
    return "HEIC" if _isobmff_name(head) == "HEIC" else None


def _isobmff_name(raw: bytes) -> str | None:
    """Return the name of a format that begins with a box of brands: AVIF, HEIC or video."""
    if raw[4:8] != b"ftyp":
        return None
    brands = [raw[8:12], *(raw[at : at + 4] for at in range(16, min(_box_end(raw), 128), 4))]
    if brands[0] in (b"avif", b"avis"):
        return "AVIF"
    if brands[0] in (b"mif1", b"msf1") and not {b"avif", b"avis"}.isdisjoint(brands):
        return "AVIF"
    return "HEIC" if brands[0][:2] in (b"he", b"mi") or brands[0] == b"msf1" else "video"


def _box_end(raw: bytes) -> int:
    return min(int.from_bytes(raw[:4], "big"), len(raw))


def _is_pcx(raw: bytes) -> bool:
    """Return whether a file begins like a PCX: its version, run lengths, and bits of a plane."""
    return (
        len(raw) >= 128
        and raw[0] == 10
        and raw[1] in (0, 2, 3, 4, 5)
        and raw[2] == 1
        and raw[3] in (1, 2, 4, 8)
        and raw[64] == 0
        and raw[65] in (1, 3, 4)
    )


def _is_tga(raw: bytes) -> bool:
    """Return whether a file has the header of a Targa image, which has no signature at its start."""
    if len(raw) < 19:
        return False
    table, kind, depth = raw[1], raw[2], raw[16]
    width, height = (int.from_bytes(raw[at : at + 2], "little") for at in (12, 14))
    depths = {1: (8,), 2: (15, 16, 24, 32), 3: (8, 16)}.get(kind & 7, ())
    plain = kind in (1, 2, 3, 9, 10, 11) and depth in depths and width > 0 and height > 0
    if not plain or table > 1 or (kind & 7 == 1) != (table == 1) or raw[17] & 0xC0:
        return False
    entries, bits = int.from_bytes(raw[5:7], "little"), raw[7]
    if bits not in ((15, 16, 24, 32) if table else (0,)) or (table and not 0 < entries <= 256):
        return False
    pixels = width * height * ((depth + 7) // 8) if kind < 8 else 1
    return len(raw) >= 18 + raw[0] + entries * ((bits + 7) // 8) + pixels


def foreign_format(raw: bytes) -> str:
    """Return why bytes that are no image of a known format are refused."""
    if not raw:
        return "empty file"
    if not raw.strip(b"\0"):
        return "only zero bytes"
    if len(raw) < _SHORTEST:
        return f"only {len(raw)} bytes"
    if name := _isobmff_name(raw):
        return f"format not supported: {name}"
    if raw[128:132] == b"DICM":
        return "format not supported: DICOM"
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


_IMAGES = frozenset(
    {"Photoshop", "icon", "FITS", "JPEG XL", "DDS", "OpenEXR", "Radiance HDR", "GIMP"}
)


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
