"""Odd files: damaged, no images at all, out to take all memory, and harmless oddities."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from support.images.odd_modes import Maker, Odd, colours, greys, png, rows_of, save


def damaged(make: Maker) -> None:
    image = Image.fromarray(colours(7))
    wholes = (
        ("jpeg", ".jpg", save(image, "JPEG", quality=95, subsampling=0), 4),
        (
            "progressive",
            ".jpg",
            save(image, "JPEG", quality=95, subsampling=0, progressive=True),
            4,
        ),
        ("png", ".png", save(image, "PNG"), 0),
        ("bmp", ".bmp", save(image, "BMP"), 0),
        ("tiff", ".tif", save(image, "TIFF"), 0),
        ("lzw", ".tif", save(image, "TIFF", compression="tiff_lzw"), 0),
        ("webp", ".webp", save(image, "WEBP", lossless=True), 0),
    )
    for stem, suffix, raw, error in wholes:
        make.cuts(f"cut-{stem}", suffix, raw, colours(7), error)
    grey = Image.fromarray(greys(7))
    make.cuts("cut-gif", ".gif", save(grey, "GIF"), np.repeat(greys(7)[..., None], 3, 2))
    whole = save(image, "PNG")
    for place in (18, 30, 45, 60, 80, len(whole) - 20):
        raw = bytearray(whole)
        raw[place] ^= 0x55
        make.files.append(Odd(f"flipped-{place}.png", bytes(raw), colours(7), cut=True))
    make.refuse("wrong-filter.png", png(2, 8, rows_of(colours()).replace(b"\0", b"\x09", 1)))
    make.refuse("too-few-rows.png", png(2, 8, rows_of(colours())[:200]))


def strangers(make: Maker) -> None:
    pack = io.BytesIO()
    with zipfile.ZipFile(pack, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), "a")
    brands = {
        f"{brand}.heic": b"\0\0\0\x18ftyp" + brand.encode() for brand in ("heic", "mif1", "avif")
    }
    contents = {
        "empty.jpg": b"",
        "one-byte.png": b"\xff",
        "text.jpg": b"there is no image here\n",
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "page-2.png": b"\xef\xbb\xbf  <html>",
        "paper.jpg": b"%PDF-1.7\n",
        "drawing.png": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
        "drawing.svg": b"<svg/>",
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n",
        "photoshop.psd": b"8BPS\0\1" + bytes(20),
        "icon.png": save(Image.fromarray(colours()), "ICO"),
        "stars.tif": b"SIMPLE  =                    T" + b" " * 2850,
        "zip.jpg": pack.getvalue(),
        "gzip.png": b"\x1f\x8b\x08" + bytes(20),
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "zeros.jpg": bytes(1000),
        "noise.jpg": np.random.default_rng(2).bytes(1000),
        **brands,
    }
    for kind, start in (
        ("jpg", b"\xff\xd8\xff\xe0"),
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("gif", b"GIF89a"),
    ):
        contents[f"start-only.{kind}"] = start
    for name, raw in contents.items():
        make.refuse(f"stranger-{name}", raw)


def bombs(make: Maker) -> None:
    """Small files that would take a lot of memory."""
    big = zlib.compress(bytes(80 << 20), 9)
    black = rows_of(np.zeros((9000, 1125), np.uint8))
    make.refuse("bomb-81-megapixels.png", png(0, 1, black, size=(9000, 9000)))
    for side in (10_000, 14_000, 2**31 - 1):
        make.refuse(f"bomb-{side}.png", png(0, 1, b"\0", size=(side, side)))
    make.refuse("size-0.png", png(0, 8, b"", size=(0, 0)))
    make.refuse("bomb-text.png", png(2, 8, rows_of(colours()), (b"zTXt", b"Comment\0\0" + big)))
    make.refuse("bomb-profile.png", png(2, 8, rows_of(colours()), (b"iCCP", b"x\0\0" + big)))
    make.refuse(
        "bomb.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(30)
    )
    header = struct.pack("<IHHIIiiHHI", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0)
    make.refuse("bomb.bmp", b"BM" + header + bytes(40))


def side(make: Maker) -> None:
    """Side information that is damaged, and bytes after the image: the image counts."""
    image, raw = Image.fromarray(colours()), rows_of(colours())
    whole = save(image, "JPEG", quality=95, subsampling=0)
    for name, block in (("exif", b"Exif\0\0II*\0\xff\xff\xff\xff"), ("exif-2", b"Exif\0\0garbage")):
        marked = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + whole[2:]
        make.keep(f"bad-{name}.jpg", marked, colours(), 4)
    profile = (b"iCCP", b"x\0\0" + zlib.compress(b"not a profile"))
    make.keep("bad-profile.png", png(2, 8, raw, profile), colours())
    make.keep("no-end.png", png(2, 8, raw)[:-12], colours())
    for name, more in (
        ("zeros", bytes(5000)),
        ("zip", b"PK\x03\x04" + bytes(50)),
        ("text", b"more"),
    ):
        make.keep(f"trailing-{name}.jpg", whole + more, colours(), 4)
        make.keep(f"trailing-{name}.png", png(2, 8, raw) + more, colours())
