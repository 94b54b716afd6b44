"""Odd images that must be kept: every mode and format, pixels worked out from arrays.

The pixels are computed here from the array an image was made of, without the code under test.
"""

import io
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
Pixels = NDArray[np.uint8]


@dataclass
class Odd:
    """One file: its bytes, and the pixels [16, 16, 3] it must be kept as (None: refused).

    `error` is the mean distance allowed where a format loses something; 0 means exactly equal.
    """

    name: str
    raw: bytes
    pixels: Pixels | None = None
    error: float = 0
    cut: bool = False
    """Part of a file is missing: it may be refused, but never kept with other pixels."""


@dataclass
class Maker:
    files: list[Odd] = field(default_factory=list)

    def keep(self, name: str, raw: bytes, pixels: Pixels, error: float = 0) -> None:
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
        self.files.append(Odd(name, raw, rgb.astype(np.uint8), error))

    def refuse(self, name: str, raw: bytes) -> None:
        self.files.append(Odd(name, raw))

    def cuts(self, stem: str, suffix: str, raw: bytes, pixels: Pixels, error: float = 0) -> None:
        for part in (0.02, 0.1, 0.5, 0.75, 0.95):
            content = raw[: int(len(raw) * part)]
            self.files.append(Odd(f"{stem}-{part}{suffix}", content, pixels, error, cut=True))
        for missing in (1, 2, 12):
            content = raw[:-missing]
            self.files.append(
                Odd(f"{stem}-less-{missing}{suffix}", content, pixels, error, cut=True)
            )


def colours(shade: int = 0) -> Pixels:
    """An image [16, 16, 3] without symmetry: red grows to the right, green downwards."""
    down, right = np.mgrid[:SIDE, :SIDE]
    return np.stack([15 * right, 15 * down, 7 * (right + down) + shade % 40], 2).astype(np.uint8)


def greys(shade: int = 0) -> Pixels:
    return colours(shade)[..., 2]


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(
    colour: int,
    depth: int,
    rows: bytes,
    *chunks: tuple[bytes, bytes],
    size: tuple[int, int] = (16, 16),
) -> bytes:
    """A PNG of raw rows (each with its filter byte), written without any library."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    body = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in body
    )


def rows_of(values: NDArray[np.generic]) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in values)


def on(background: int, opaque: Pixels, alpha: Pixels) -> Pixels:
    """What shows of an image [H, W, 3] with alpha [H, W] on a grey background."""
    share = alpha[..., None] / 255
    return np.rint(opaque * share + background * (1 - share)).astype(np.uint8)


def modes(make: Maker) -> None:
    rgb, grey, alpha = colours(), greys(), greys(9)[::-1].copy()
    index = (np.arange(256) % 16).reshape(16, 16).astype(np.uint8)
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    one_bit = ((grey // 16) % 2 * 255).astype(np.uint8)
    paletted = Image.fromarray(index, "L")
    paletted.putpalette(palette.tobytes())
    rgba = Image.fromarray(np.dstack([rgb, alpha]), "RGBA")
    two = Image.fromarray(np.dstack([grey, alpha]), "LA")
    grey_on = on(255, np.repeat(grey[..., None], 3, 2), alpha)
    lossless = (
        ("RGB", Image.fromarray(rgb), rgb),
        ("L", Image.fromarray(grey), grey),
        ("1", Image.fromarray(one_bit).convert("1", dither=Image.Dither.NONE), one_bit),
        ("P", paletted, palette[index]),
        ("RGBA", rgba, on(255, rgb, alpha)),
        ("LA", two, grey_on),
    )
    ways: tuple[tuple[str, str, dict[str, object], str], ...] = (
        ("PNG", ".png", {}, "RGB L 1 P RGBA LA"),
        ("BMP", ".bmp", {}, "RGB L 1 P"),
        ("GIF", ".gif", {}, "L 1 P"),
        ("WEBP", ".webp", {"lossless": True}, "RGB L"),
        ("TIFF", ".tif", {}, "RGB L 1 P RGBA LA"),
        ("TIFF", ".lzw.tif", {"compression": "tiff_lzw"}, "RGB L P RGBA LA"),
        ("TIFF", ".deflate.tiff", {"compression": "tiff_adobe_deflate"}, "RGB L P RGBA LA"),
        ("TIFF", ".packbits.TIF", {"compression": "packbits"}, "RGB L P"),
        ("TIFF", ".g4.tif", {"compression": "group4"}, "1"),
        ("TIFF", ".big.tif", {"big_tiff": True}, "RGB L"),
    )
    for kind, suffix, options, wanted in ways:
        for mode, image, pixels in lossless:
            if mode in wanted.split():
                make.keep(f"mode-{kind}-{mode}{suffix}", save(image, kind, **options), pixels)
    make.keep("mode-BMP-RGBA.bmp", save(rgba, "BMP"), rgb)  # its fourth byte means nothing
    for suffix in (".JPG", ".jpeg", ".gif", ".bmp", ".webp", ".dib", ".apng", ".PnG"):
        make.keep(f"png-named{suffix}", save(Image.fromarray(rgb), "PNG"), rgb)
    make.keep("webp-alpha.webp", save(rgba, "WEBP", lossless=True, exact=True), on(255, rgb, alpha))
    clear = np.zeros((16, 16), np.uint8)
    hidden = Image.fromarray(np.dstack([rgb, clear]), "RGBA")
    make.keep("all-transparent.png", save(hidden, "PNG"), np.full_like(rgb, 255))
    opaque = Image.fromarray(np.dstack([rgb, clear + 255]), "RGBA")
    make.keep("all-opaque.png", save(opaque, "PNG"), rgb)
    shown = np.where((index == 3)[..., None], 255, palette[index])
    make.keep("palette-clear-3.png", save(paletted, "PNG", transparency=3), shown)
    make.keep("palette-clear-3.gif", save(paletted, "GIF", transparency=3), shown)
    alphas = bytes(range(0, 256, 16))
    by_entry = on(255, palette[index], np.frombuffer(alphas, np.uint8)[index])
    make.keep("palette-alphas.png", save(paletted, "PNG", transparency=alphas), by_entry)
    make.keep(
        "grey-clear-14.png",
        save(Image.fromarray(grey), "PNG", transparency=14),
        np.where(grey == 14, 255, grey),
    )
    at = tuple(map(int, rgb[4, 5]))
    one = np.where((rgb == rgb[4, 5]).all(2)[..., None], 255, rgb)
    make.keep("rgb-clear.png", save(Image.fromarray(rgb), "PNG", transparency=at), one)


def depths(make: Maker) -> None:
    """More or fewer than 8 bits a value."""
    wide = (np.arange(256).reshape(16, 16) * 257 - np.arange(16)).clip(0).astype(np.uint16)
    for name, values in (("full", wide), ("low", wide // 256), ("dark", wide // 16)):
        kept = (values >> 8).astype(np.uint8)
        make.keep(f"16-bit-{name}.png", png(0, 16, rows_of(values.astype(">u2"))), kept)
        make.keep(f"16-bit-{name}.tif", save(Image.fromarray(values), "TIFF"), kept)
        lzw = save(Image.fromarray(values), "TIFF", compression="tiff_lzw")
        make.keep(f"16-bit-{name}.lzw.tif", lzw, kept)
    kept = (wide >> 8).astype(np.uint8)
    clear = struct.pack(">H", int(wide[5, 5]))
    seen = np.where(wide == wide[5, 5], 255, kept)
    make.keep("16-bit-clear.png", png(0, 16, rows_of(wide.astype(">u2")), (b"tRNS", clear)), seen)
    make.keep("16-bit-white-is-0.tif", tiff16(wide, photometric=0), 255 - kept)
    make.keep("12-bit.tif", tiff16(wide >> 4, bits=12), kept)
    make.keep("16-bit-big-endian.tif", tiff16(wide, order=">"), kept)
    three = np.dstack([wide, wide.T, wide[::-1]]).astype(">u2")
    make.keep("16-bit-rgb.png", png(2, 16, rows_of(three)), (three >> 8).astype(np.uint8))
    four = np.dstack([three, np.full_like(wide, 0x8000)]).astype(">u2")
    half = on(255, (three >> 8).astype(np.uint8), np.full((16, 16), 0x80, np.uint8))
    make.keep("16-bit-rgba.png", png(6, 16, rows_of(four)), half)
    two = np.dstack([wide, np.full_like(wide, 0x8000)]).astype(">u2")
    grey_half = on(255, np.repeat(kept[..., None], 3, 2), np.full((16, 16), 0x80, np.uint8))
    make.keep("16-bit-grey-alpha.png", png(4, 16, rows_of(two)), grey_half)
    for depth in (1, 2, 4):
        packed = np.random.default_rng(depth).integers(0, 256, (16, 2 * depth), np.uint8)
        bits = np.unpackbits(packed, axis=1).reshape(16, 16, depth)
        values = (bits * (1 << np.arange(depth)[::-1])).sum(2)
        scaled = values * 255 // ((1 << depth) - 1)
        make.keep(f"grey-{depth}-bit.png", png(0, depth, rows_of(packed)), scaled.astype(np.uint8))
        table = np.random.default_rng(9).integers(0, 256, (1 << depth, 3), np.uint8)
        raw = png(3, depth, rows_of(packed), (b"PLTE", table.tobytes()))
        make.keep(f"palette-{depth}-bit.png", raw, table[values])
    for name, kind in (("float", np.float32), ("int32", np.int32)):
        for scale in (1, 255):
            values = greys() / 255 * scale
            image = Image.fromarray(values.astype(kind))
            make.refuse(f"{name}-{scale}.tif", save(image, "TIFF"))
            make.refuse(f"{name}-{scale}.lzw.tif", save(image, "TIFF", compression="tiff_lzw"))


def tiff16(
    values: NDArray[np.uint16], *, order: str = "<", photometric: int = 1, bits: int = 16
) -> bytes:
    """An uncompressed grey TIFF of [16, 16] with 16 or 12 bits, written without any library."""
    body = values.astype(f"{order}u2").tobytes()
    if bits == 12:
        body = bytes.fromhex("".join(f"{value:03x}" for value in values.ravel()))
    tags = ((256, 16), (257, 16), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1))
    tags = (*tags, (278, 16), (279, len(body)))
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + b"\0\0\0\0"
