"""Data from a stranger: zips, tables, IDX files, pickled data sets, images that are programs or bombs."""

import gzip
import io
import os
import pickle
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from support.reliability.payloads import Action, Code, payload
from tutelage.commands.inference import _images
from tutelage.config.data import DataConfig
from tutelage.data.decode.prepare import prepare_all
from tutelage.data.readers.builtin import KNOWN
from tutelage.data.readers.idx import read_idx
from tutelage.data.readers.open import open_source

SETTINGS = DataConfig(image_size=8)


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def looks(data: Path | str, settings: DataConfig = SETTINGS) -> Action:
    """What `tutelage pack DATA` reads: the list of all files, and every image of it."""

    def action() -> list[tuple[str, str]]:
        source = open_source(str(data), settings)
        found = zip(source.items, prepare_all(source.items, settings), strict=True)
        return [*source.refused, *((i.name, p) for i, p in found if isinstance(p, str))]

    return action


def archive(folder: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of two good classes, and more members."""
    with zipfile.ZipFile(folder / "data.zip", "w", how) as made:
        for name, content in {"a/1.png": png(), "b/1.png": png("blue"), **members}.items():
            made.writestr(name, content)
    return folder / "data.zip"


for _name in ("../../evil.png", "/etc/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"):

    @payload(f"zip: a member at {_name}")
    def _slip(folder: Path, _marker: Path, name: str = _name) -> Action:
        return looks(archive(folder, {name: png()}))


@payload("zip: a link to /etc/passwd", ends="set aside")
def _zip_link(folder: Path, _marker: Path) -> Action:
    path = archive(folder, {})
    with zipfile.ZipFile(path, "a") as made:
        link = zipfile.ZipInfo("a/link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    return looks(path)


@payload("zip: 1 MB that inflates to 1 GiB", ends="set aside")
def _zip_bomb(folder: Path, _marker: Path) -> Action:
    path = archive(folder, {})
    how = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "a", how) as made,
        made.open("a/bomb.png", "w", force_zip64=True) as member,
    ):
        for _ in range(64):
            member.write(bytes(16 << 20))
    return looks(path)


@payload("zip: more than its directory says", ends="set aside")
def _zip_liar(folder: Path, _marker: Path) -> Action:
    path = archive(folder, {"a/2.png": bytes(8 << 20)})
    raw = path.read_bytes()
    at = raw.rindex(b"a/2.png") - 46
    path.write_bytes(raw[: at + 24] + struct.pack("<I", 100) + raw[at + 28 :])
    return looks(path)


@payload("zip: a member that asks for 4 GiB of dictionary", ends="set aside")
def _zip_lzma(folder: Path, _marker: Path) -> Action:
    path = archive(folder, {})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as made:
        made.writestr("a/lzma.png", png())
    raw = path.read_bytes()
    at = raw.index(b"a/lzma.png") + len("a/lzma.png")
    path.write_bytes(raw[: at + 5] + b"\xff\xff\xff\xff" + raw[at + 9 :])
    return looks(path)


@payload("zip: two members in the same bytes", ends="set aside")
def _zip_overlap(folder: Path, _marker: Path) -> Action:
    path = archive(folder, {"a/2.png": png(), "a/3.png": png()}, zipfile.ZIP_STORED)
    raw = path.read_bytes()
    first = raw.index(b"PK\x03\x04")
    at = raw.rindex(b"a/3.png") - 46
    path.write_bytes(raw[: at + 42] + struct.pack("<I", first) + raw[at + 46 :])
    return looks(path)


@payload("zip: a member with a password")
def _zip_locked(folder: Path, _marker: Path) -> Action:
    path = archive(folder, {})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    return looks(path)


@payload("zip: a table that names a file outside")
def _zip_table(folder: Path, _marker: Path) -> Action:
    return looks(archive(folder, {"t.csv": b"path,label\n../../../etc/passwd,a\n"}))


def tarred(
    folder: Path, mode: str, name: str, kind: bytes = tarfile.REGTYPE, size: int = 0
) -> Action:
    """A tar of two good classes, and one member more: of zeros, or a link to /etc/passwd."""
    with tarfile.open(folder / "data.tar", mode) as made:  # type: ignore[call-overload]
        for place, content in {"a/1.png": png(), "b/1.png": png("blue"), name: bytes(size)}.items():
            info = tarfile.TarInfo(place)
            info.size = len(content)
            if place == name:
                info.type, info.linkname = kind, "/etc/passwd"
            made.addfile(info, io.BytesIO(content))
    return looks(folder / "data.tar")


for _mode in ("w", "w:gz", "w:bz2", "w:xz"):

    @payload(f"tar ({_mode}): a member at ../../evil.png")
    def _tar_slip(folder: Path, _marker: Path, mode: str = _mode) -> Action:
        return tarred(folder, mode, "../../evil.png", size=9)

    @payload(f"tar ({_mode}): a link to /etc/passwd", ends="set aside")
    def _tar_link(folder: Path, _marker: Path, mode: str = _mode) -> Action:
        return tarred(folder, mode, "a/link.png", tarfile.SYMTYPE)

    @payload(f"tar ({_mode}): a second name of /etc/passwd", ends="set aside")
    def _tar_hard_link(folder: Path, _marker: Path, mode: str = _mode) -> Action:
        return tarred(folder, mode, "a/link.png", tarfile.LNKTYPE)


for _mode in ("w:gz", "w:bz2", "w:xz"):

    @payload(f"tar ({_mode}): little that inflates to 100 MB")
    def _tar_bomb(folder: Path, _marker: Path, mode: str = _mode) -> Action:
        return tarred(folder, mode, "a/bomb.png", size=100 << 20)


@payload("tar: a name of 1 TB")
def _tar_name(folder: Path, _marker: Path) -> Action:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (folder / "data.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    return looks(folder / "data.tar")


def table(folder: Path, line: str) -> Action:
    """A table of two good images and one line more."""
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(png())
    (folder / "t.csv").write_text(f"path,label\n1.png,a\n2.png,b\n{line}\n")
    return looks(folder / "t.csv")


for _line in (
    "../elsewhere.png,a",
    "/etc/passwd,a",
    "C:\\windows\\win.ini,a",
    "\\\\host\\share\\1.png,a",
    "3.png,../../a",
    "3.png,a/b",
    "3.png,a\x1b[2J",
    f"{'a' * 300_000},a",
    '"3.png',
):

    @payload(f"table: the line {_line[:30]!r}")
    def _table(folder: Path, _marker: Path, line: str = _line) -> Action:
        return table(folder, line)


@payload("table: a link out of its folder", ends="set aside")
def _table_link(folder: Path, _marker: Path) -> Action:
    (folder / "3.png").symlink_to("/etc/passwd")
    return table(folder, "3.png,a")


@payload("table: an endless device", ends="set aside")
def _table_device(folder: Path, _marker: Path) -> Action:
    (folder / "3.png").symlink_to("/dev/zero")
    return table(folder, "3.png,a")


@payload("table: a pipe", ends="set aside")
def _table_pipe(folder: Path, _marker: Path) -> Action:
    os.mkfifo(folder / "3.png")
    return table(folder, "3.png,a")


def images(folder: Path, content: bytes, name: str = "evil.jpg") -> Action:
    """A folder of two classes and one file more."""
    for label in ("a", "b"):
        (folder / label).mkdir()
        (folder / label / "1.png").write_bytes(png())
    (folder / "a" / name).write_bytes(content)
    return looks(folder)


_ENTITY = '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>'
_SHELL = (
    "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%mkdir MARKER) (w) file closefile\n"
)
for _name, _text in {
    "PostScript that runs a program": _SHELL,
    "PostScript behind a DOS header": "\xc5\xd0\xd3\xc6" + "\x1e\0\0\0" + _SHELL,
    "PDF": "%PDF-1.7\n1 0 obj <</OpenAction <</S /Launch /F (sh)>>>> endobj",
    "SVG with an entity": _ENTITY,
    "a page with a script": "<html><script>fetch('http://x')</script></html>",
    "a program": "#!/bin/sh\nmkdir MARKER\n",
    "a font": "\0\1\0\0" + "\0" * 100,
    "an X pixmap": '/* XPM */ static char *x[] = {"99999 99999 1 1","a c red"};',
    "a portable map": "P6 100000 100000 255\n",
    "FITS": "SIMPLE  =                    T" + " " * 2850,
}.items():

    @payload(f"image: {_name}", ends="set aside")
    def _stranger(folder: Path, marker: Path, text: str = _text) -> Action:
        return images(folder, text.replace("MARKER", str(marker)).encode("latin-1"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_of(width: int, height: int, extra: bytes = b"", depth: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    return b"\x89PNG\r\n\x1a\n" + head + extra + pixels + chunk(b"IEND", b"")


_BOMB = zlib.compress(bytes(200 << 20), 9)
for _name, _content in {
    "PNG of 2^62 pixels": png_of(2**31 - 1, 2**31 - 1),
    "PNG of 100 megapixels": png_of(10_000, 10_000),
    "PNG whose text inflates to 200 MB": png_of(8, 8, chunk(b"zTXt", b"k\0\0" + _BOMB)),
    "PNG whose profile inflates to 200 MB": png_of(8, 8, chunk(b"iCCP", b"k\0\0" + _BOMB)),
    "PNG whose international text inflates to 200 MB": png_of(
        8, 8, chunk(b"iTXt", b"k\0\1\0\0\0" + _BOMB)
    ),
    "JPEG of 65,500 x 65,500": (
        b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 65_500, 65_500)
        + b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0"
        + bytes(64)
    ),
    "GIF of 65,535 x 65,535": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;",
    "BMP of 2^31 pixels a side": b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0
    ) + bytes(64),
    "WebP of 16,383 x 16,383": b"RIFF\x24\0\0\0WEBPVP8L\x10\0\0\0\x2f\xfe\xff\xff\x0f" + bytes(12),
    "TIFF of 2^31 x 2^31": b"II*\0\x08\0\0\0\x03\0" + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 2**31), (257, 2**31), (273, 8))
    ) + bytes(4),
    "TIFF that goes round in a circle": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 256, 4, 1, 8)
    + struct.pack("<I", 8),
}.items():  # fmt: skip

    @payload(f"image: {_name}", ends="set aside")
    def _image(folder: Path, _marker: Path, content: bytes = _content) -> Action:
        return images(folder, content)


@payload("folder: an image that is a pipe", ends="set aside")
def _pipe(folder: Path, _marker: Path) -> Action:
    action = images(folder, png())
    os.mkfifo(folder / "a" / "pipe.jpg")
    return action


@payload("folder: an image that is an endless device", ends="set aside")
def _device(folder: Path, _marker: Path) -> Action:
    action = images(folder, png())
    (folder / "a" / "zero.jpg").symlink_to("/dev/zero")
    return action


@payload("folder: a class that is a link to another place", ends="set aside")
def _class_link(folder: Path, _marker: Path) -> Action:
    action = images(folder, png())
    (folder / "a" / "etc.png").symlink_to("/etc")
    return action


@payload("folder: a link to itself", ends="harmless")
def _loop(folder: Path, _marker: Path) -> Action:
    look = images(folder, png("green"))
    (folder / "a" / "again").symlink_to(folder)

    def action() -> None:
        assert look() == []
        assert len(open_source(str(folder), SETTINGS).items) == 3

    return action


@payload("folder: nothing but links out of it, to be classified")
def _predict(folder: Path, _marker: Path) -> Action:
    (folder / "1.jpg").symlink_to("/etc/passwd")

    def action() -> Any:
        listing = _images(folder)
        assert not listing.files
        return looks(folder)() or listing.refused

    return action


def idx(folder: Path, raw: bytes, name: str = "train-images-idx3-ubyte.gz") -> Action:
    (folder / name).write_bytes(raw)
    return lambda: read_idx(folder / name)


_HEAD = struct.pack(">BBBBIII", 0, 0, 8, 3, 60_000, 28, 28)
for _name, _content in {
    "IDX: 1 MB that inflates to 1 GiB": gzip.compress(_HEAD + bytes(256 << 20)),
    "IDX: 2^96 bytes claimed": gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, *[2**32 - 1] * 3)),
    "IDX: 255 dimensions": gzip.compress(bytes([0, 0, 8, 255]) + bytes(1020)),
    "IDX: half a size": gzip.compress(bytes([0, 0, 8, 1, 0])),
    "IDX: a pickle": gzip.compress(pickle.dumps({"a": 1})),
}.items():

    @payload(_name)
    def _idx(folder: Path, _marker: Path, content: bytes = _content) -> Action:
        return idx(folder, content)


@payload("CIFAR-10 with other pickles", ends="set aside")
def _cifar(folder: Path, marker: Path) -> Action:
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
        (batches / name).write_bytes(pickle.dumps(Code(marker), 2))

    def action() -> list[tuple[str, str]]:
        try:
            KNOWN["cifar10"].read(folder, False)
        except (
            RuntimeError
        ) as error:  # the reason to look elsewhere: `open_known` goes on from there
            return [("cifar-10-batches-py", str(error))]
        return []

    return action


warnings.simplefilter("ignore", Image.DecompressionBombWarning)
