"""Cases 1 to 60: one bad image file among good ones."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from support.images import odd_damage, odd_images, odd_modes
from support.reliability.bad_case import Case, Seen, data_case

PLACE = "val/Bag"


def _odd() -> dict[str, bytes]:
    make = odd_modes.Maker()
    for step in (
        odd_modes.modes,
        odd_modes.depths,
        odd_images.lossy,
        odd_images.elder,
        odd_images.turned,
        odd_images.several,
        odd_images.sizes,
        odd_damage.damaged,
        odd_damage.strangers,
        odd_damage.bombs,
        odd_damage.side,
    ):
        step(make)
    return {one.name: one.raw for one in make.files}


ODD = _odd()
JPEG = ODD["jpeg-95-0.jpg"]
FLIPPED = bytes(byte ^ 0x55 if 100 <= place < 400 else byte for place, byte in enumerate(JPEG))
PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"

# number, name, kind, file as it is called, its bytes, what is said of it
_FILES: tuple[tuple[str, str, str, str, bytes, str], ...] = (
    ("1", "empty file", "Q", "c1.jpg", b"", "empty file"),
    ("2", "one byte", "Q", "c2.png", b"\xff", "only 1 bytes"),
    ("3", "JPEG cut in half", "Q", "c3.jpg", ODD["cut-jpeg-0.5.jpg"], "truncated"),
    ("4", "JPEG without its last 2 bytes", "Q", "c4.jpg", ODD["cut-jpeg-less-2.jpg"], "truncated"),
    ("5", "JPEG, the start only", "Q", "c5.jpg", ODD["stranger-start-only.jpg"], "damaged header"),
    ("6", "PNG cut in half", "Q", "c6.png", ODD["cut-png-0.5.png"], "truncated"),
    ("7", "PNG without its end", "H", "c7.png", ODD["no-end.png"], "no end mark"),
    ("8", "PNG with a wrong checksum", "Q", "c8.png", ODD["flipped-60.png"], "damaged"),
    ("9", "JPEG with flipped bits", "Q", "c9.jpg", FLIPPED, "truncated"),
    ("10", "JPEG with a zip behind it", "H", "c10.jpg", ODD["trailing-zip.jpg"], "trailing bytes"),
    ("11", "PNG named .jpg", "H", "c11.jpg", ODD["no-end.png"], "PNG named .jpg"),
    ("12", "text named .jpg", "Q", "c12.jpg", ODD["stranger-text.jpg"], "not an image: text"),
    ("13", "HTML page named .jpg", "Q", "c13.jpg", ODD["stranger-page.jpg"], "not an image: HTML"),
    ("14", "PDF named .jpg", "Q", "c14.jpg", PDF, "not an image: PDF"),
    (
        "15",
        "SVG named .png",
        "Q",
        "c15.png",
        ODD["stranger-drawing.png"],
        "format not supported: SVG",
    ),
    ("16", "PostScript named .jpg", "Q", "c16.jpg", ODD["stranger-script.jpg"], "PostScript"),
    ("17", "HEIC", "Q", "c17.heic", ODD["stranger-heic.heic"], "format not supported: HEIC"),
    ("18 a", "WebP", "H", "c18.webp", ODD["mode-WEBP-RGB.webp"], ""),
    ("18 b", "AVIF", "H", "c18.avif", ODD["lossy.avif"], ""),
    ("18 c", "JPEG 2000", "H", "c18.jp2", ODD["lossless.jp2"], ""),
    ("18 d", "portable map of 16 bits", "H", "c18.pgm", ODD["sixteen.pgm"], "16-bit"),
    ("18 e", "Targa", "H", "c18.tga", ODD["elder.tga"], ""),
    ("18 f", "image without an ending", "H", "c18", ODD["no-ending"], ""),
    (
        "18 g",
        "image under another ending",
        "H",
        "c18.happy",
        ODD["subject01.happy"],
        "PNG named .happy",
    ),
    ("19", "CMYK JPEG", "H", "c19.jpg", ODD["jpeg-cmyk.jpg"], "cmyk"),
    ("20", "grey JPEG", "H", "c20.jpg", ODD["jpeg-grey.jpg"], "grey"),
    ("21", "16-bit PNG, full range", "H", "c21.png", ODD["16-bit-full.png"], "16-bit"),
    ("22", "16-bit PNG of small values", "H", "c22.png", ODD["16-bit-low.png"], "16-bit"),
    ("23", "floating-point TIFF", "Q", "c23.tif", ODD["float-1.tif"], "no stated range"),
    ("24", "32-bit TIFF", "Q", "c24.tif", ODD["int32-255.tif"], "no stated range"),
    ("25", "LAB TIFF", "H", "c25.tif", ODD["lab-white.tif"], "lab"),
    ("26", "1-bit PNG", "H", "c26.png", ODD["mode-PNG-1.png"], "1-bit"),
    ("27", "palette PNG", "H", "c27.png", ODD["mode-PNG-P.png"], "palette"),
    ("28", "palette PNG with alphas", "H", "c28.png", ODD["palette-alphas.png"], "transparent"),
    ("29", "wholly transparent PNG", "H", "c29.png", ODD["all-transparent.png"], "transparent"),
    ("30", "grey PNG with alpha", "H", "c30.png", ODD["mode-PNG-LA.png"], "transparent"),
    ("31", "animated GIF", "H", "c31.gif", ODD["several.gif"], "first of several"),
    ("32", "animated WebP", "H", "c32.webp", ODD["several.webp"], "first of several"),
    ("33", "animated PNG", "H", "c33.png", ODD["several.png"], "first of several"),
    ("34", "TIFF of several pages", "H", "c34.tif", ODD["several.tif"], "first of several"),
    (
        "35",
        "MPO of several images",
        "H",
        "c35.mpo",
        ODD["two-images-mpo.mpo"],
        "first of several",
    ),
    *(
        (
            f"36 {'abcdefg'[turn - 2]}",
            f"EXIF orientation {turn}",
            "H",
            f"c36-{turn}.jpg",
            raw,
            "rotated",
        )
        for turn in range(2, 9)
        for raw in [ODD[f"exif-{turn}.jpg"]]
    ),
    ("37", "EXIF orientation 99", "H", "c37.jpg", ODD["exif-99.jpg"], ""),
    ("38", "EXIF that is garbage", "H", "c38.jpg", ODD["bad-exif.jpg"], ""),
    ("39 a", "progressive JPEG", "H", "c39.jpg", ODD["jpeg-progressive.jpg"], ""),
    (
        "39 b",
        "progressive JPEG, cut",
        "Q",
        "c39-b.jpg",
        ODD["cut-progressive-0.5.jpg"],
        "truncated",
    ),
    ("40", "1 x 1 pixel", "H", "c40.png", ODD["size-1x1.png"], ""),
    ("41 a", "1 x 5000 pixels", "H", "c41.png", ODD["size-1x5000.png"], ""),
    ("41 b", "5000 x 1 pixels", "H", "c41-b.png", ODD["size-5000x1.png"], ""),
    ("42", "0 x 0 in the header", "Q", "c42.png", ODD["size-0.png"], "damaged header"),
    (
        "43",
        "2^31 - 1 squared in the header",
        "Q",
        "c43.png",
        ODD["bomb-2147483647.png"],
        "larger than",
    ),
    ("44", "81 MP in 79 KB", "Q", "c44.png", ODD["bomb-81-megapixels.png"], "larger than 64 MP"),
    ("45", "100 MP", "Q", "c45.png", ODD["bomb-10000.png"], "larger than 64 MP"),
    ("46", "196 MP", "Q", "c46.png", ODD["bomb-14000.png"], "larger than 64 MP"),
    (
        "47",
        "PNG text that inflates to 80 MB",
        "Q",
        "c47.png",
        ODD["bomb-text.png"],
        "inflates too far",
    ),
    (
        "48",
        "PNG profile that inflates to 80 MB",
        "Q",
        "c48.png",
        ODD["bomb-profile.png"],
        "inflates",
    ),
    ("49", "colour profile that is garbage", "H", "c49.png", ODD["bad-profile.png"], ""),
    ("50 a", "icon under .png", "Q", "c50.png", ODD["stranger-icon.png"], "icon"),
    ("50 b", "FITS under .tif", "Q", "c50.tif", ODD["stranger-stars.tif"], "FITS"),
    ("50 c", "Photoshop under .png", "Q", "c50-c.png", ODD["stranger-photoshop.psd"], "Photoshop"),
    ("51", "resource fork ._name.jpg", "P", "._c51.jpg", b"\0\5\x16\7", "hidden"),
    ("52 a", "Thumbs.db", "P", "Thumbs.db", b"\xd0\xcf", "system file"),
    ("52 b", ".DS_Store", "P", ".DS_Store", b"Bud1", "hidden"),
    ("53", "one single colour", "H", "c53.png", ODD["size-1x1.png"], "of one single colour"),
)


def _written(name: str, raw: bytes, folder: Path) -> None:
    (folder / PLACE / name).write_bytes(raw)


def _file(number: str, title: str, kind: str, name: str, raw: bytes, says: str) -> Case:
    return data_case(
        number,
        title,
        kind,
        lambda folder: _written(name, raw, folder),
        seen=(Seen(f"{PLACE}/{name}", kind, says),),
    )


def _unreadable(folder: Path) -> None:
    path = folder / PLACE / "c54.png"
    path.write_bytes(ODD["mode-PNG-RGB.png"])
    path.chmod(0)


@contextlib.contextmanager
def without_override(_: Path) -> Iterator[None]:
    """One thread, and those it starts, held to permissions although it may be root (Linux only)."""
    if os.geteuid() != 0:
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, now = ((ctypes.c_uint32 * 6)() for _ in range(2))
    assert libc.capget(header, before) == 0
    now[:] = before[:]
    now[0] &= ~0b110  # effective: neither DAC_OVERRIDE nor DAC_READ_SEARCH
    assert libc.capset(header, now) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


_watched: dict[str, Path] = {}
"""Opening what begins with the key removes the file."""


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str):
        for start, victim in list(_watched.items()):
            if arguments[0].startswith(start) and not arguments[0].endswith(victim.name):
                del _watched[start]
                victim.unlink(missing_ok=True)


@contextlib.contextmanager
def vanishing(folder: Path) -> Iterator[None]:
    """The file is there when the folder is scanned, and gone once the first image is opened."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    victim = folder / PLACE / "zz-c55.png"
    _watched[f"{folder}/"] = victim
    try:
        yield
    finally:
        _watched.clear()


_hooked: list[bool] = []


@contextlib.contextmanager
def growing(folder: Path) -> Iterator[None]:
    """Somebody writes to the file all the time."""
    ended = threading.Event()

    def write() -> None:
        with (folder / PLACE / "c56.png").open("ab", buffering=0) as file:
            while not ended.wait(0.0002):
                file.write(b"x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def _large(folder: Path) -> None:
    """So large that reading takes longer than any pause of the one who writes."""
    path = folder / PLACE / "c56.png"
    path.write_bytes(ODD["mode-PNG-RGB.png"])
    os.truncate(path, 128 << 20)


def _folder(folder: Path) -> None:
    (folder / PLACE / "c57.jpg").mkdir()


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / PLACE / "c59.jpg")


def _socket(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder / PLACE)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("c59-b.jpg")
    os.chdir(before)


def _link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / PLACE / name).symlink_to(target)


def _one(
    number: str, title: str, kind: str, make: object, name: str, says: str, **more: object
) -> Case:
    return data_case(number, title, kind, make, seen=(Seen(f"{PLACE}/{name}", kind, says),), **more)


IMAGES: tuple[Case, ...] = (
    *(_file(*row) for row in _FILES),
    _one("54", "no permission to read", "Q", _unreadable, "c54.png", "no permission to read",
         around=without_override),
    _one("55", "gone between scan and reading", "Q",
         lambda folder: _written("zz-c55.png", ODD["mode-PNG-RGB.png"], folder),
         "zz-c55.png", "gone since the scan", around=vanishing, alone=True),
    _one("56", "grows while it is read", "Q", _large, "c56.png", "changes while it is read",
         around=growing),
    _one("57", "folder named x.jpg", "P", _folder, "c57.jpg", "folder named like an image"),
    _one("58", "broken link", "Q", _link("c58.jpg", "nowhere.jpg"), "c58.jpg", "a broken link"),
    _one("59 a", "named pipe", "Q", _pipe, "c59.jpg", "a named pipe, not a file"),
    _one("59 b", "socket", "Q", _socket, "c59-b.jpg", "a socket, not a file"),
    _one("59 c", "link to a device", "Q", _link("c59-c.jpg", "/dev/zero"), "c59-c.jpg",
         "a link out of the folder"),
    _one("60", "link out of the folder", "Q", _link("c60.jpg", __file__), "c60.jpg",
         "a link out of the folder"),
)  # fmt: skip
