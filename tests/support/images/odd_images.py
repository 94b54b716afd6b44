"""Make a folder of 300 odd image files, each with what must become of it.

    PYTHONPATH=tests python -m support.images.odd_images [FOLDER]

This makes the folder and records the outcomes in odd_images.json.

Every file is one of: kept, with pixels that are worked out without the code under test; refused,
with a reason; passed over. Images are 16 x 16 unless their size is the point.
"""

import json
import os
import socket
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from torchvision import transforms

from support.images.odd_damage import bombs, damaged, side, strangers
from support.images.odd_modes import SIDE, Maker, Odd, Pixels, colours, depths, greys, modes, save
from tutelage.config.data import DataConfig
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.text import escape

RECORD = Path(__file__).with_name("odd_images.json")
PARTS = ("train/a", "train/b", "val/a")


def make_folder(folder: Path) -> list[Odd]:
    """All files in train/a, train/b and val/a in turn, with links, pipes and files to pass over."""
    make = Maker()
    for step in (
        modes,
        depths,
        lossy,
        elder,
        turned,
        several,
        sizes,
        damaged,
        strangers,
        bombs,
        side,
        named,
    ):
        step(make)
    for number, odd in enumerate(make.files):
        odd.name = f"{PARTS[number % 3]}/{odd.name}"
        path = folder / odd.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(odd.raw)
    passed_over(folder)
    special(folder)
    return make.files


def lossy(make: Maker) -> None:
    for quality in (30, 75, 95):
        for sampling in (0, 1, 2):
            options = {"quality": quality, "subsampling": sampling}
            raw = save(Image.fromarray(colours(quality)), "JPEG", **options)
            make.keep(f"jpeg-{quality}-{sampling}.jpg", raw, colours(quality), 14 - quality / 10)
    image = Image.fromarray(colours())
    make.keep("jpeg-progressive.jpg", save(image, "JPEG", progressive=True), colours(), 8)
    make.keep("jpeg-restart.jpg", save(image, "JPEG", restart_marker_blocks=1), colours(), 8)
    make.keep("jpeg-grey.jpg", save(Image.fromarray(greys()), "JPEG"), greys(), 2)
    make.keep("jpeg-cmyk.jpg", save(image.convert("CMYK"), "JPEG", quality=95), colours(), 6)
    make.keep("cmyk.tif", save(image.convert("CMYK"), "TIFF"), colours(), 1)
    make.keep(
        "cmyk.lzw.tif", save(image.convert("CMYK"), "TIFF", compression="tiff_lzw"), colours(), 1
    )
    make.keep("ycbcr.tif", save(image.convert("YCbCr"), "TIFF"), colours(), 2)
    make.keep("jpeg-in.tif", save(image, "TIFF", compression="jpeg", quality=95), colours(), 6)
    make.keep("lossy.avif", save(image, "AVIF", quality=90), colours(), 12)
    make.keep("lossless.jp2", save(image, "JPEG2000"), colours())
    make.keep("lossy.webp", save(image, "WEBP", quality=90), colours(), 12)
    light = np.dstack([greys(), np.zeros((SIDE, SIDE, 2), np.uint8)])
    for name, shade in (("black", 0), ("white", 255)):
        light[..., 0] = shade
        lab = Image.frombytes("LAB", (SIDE, SIDE), light.tobytes())
        make.keep(f"lab-{name}.tif", save(lab, "TIFF"), np.full((SIDE, SIDE), shade, np.uint8), 2)


def elder(make: Maker) -> None:
    """Formats of other days, and images whose ending says nothing."""
    image = Image.fromarray(colours(5))
    for kind, suffix in (("PPM", "ppm"), ("TGA", "tga"), ("PCX", "pcx"), ("SGI", "sgi")):
        make.keep(f"elder.{suffix}", save(image, kind), colours(5))
    make.keep("run-lengths.tga", save(image, "TGA", compression="tga_rle"), colours(5))
    make.keep("grey.pgm", save(Image.fromarray(greys(5)), "PPM"), greys(5))
    values = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 257
    deep = b"P5\n# sixteen bits\n%d %d\n65535\n" % (SIDE, SIDE) + values.astype(">u2").tobytes()
    make.keep("sixteen.pgm", deep, (values >> 8).astype(np.uint8))
    rows = "\n".join(" ".join(map(str, row)) for row in greys(6).tolist())
    make.keep("plain.pgm", f"P2\n{SIDE} {SIDE}\n255\n{rows}\n".encode(), greys(6))
    for name in ("no-ending", "subject01.happy", "image.dat", "photo.12"):
        make.keep(name, save(image, "PNG"), colours(5))


def turned(make: Maker) -> None:
    """A file stores the image turned; its EXIF says how to turn it back."""
    undo = (lambda p: p, lambda p: p[:, ::-1], lambda p: p[::-1, ::-1], lambda p: p[::-1])
    swap = [lambda p, f=f: f(p).swapaxes(0, 1) for f in undo]
    seen = {
        1: undo[0],
        2: undo[1],
        3: undo[2],
        4: undo[3],
        5: swap[0],
        6: swap[3],
        7: swap[2],
        8: swap[1],
    }
    for turn in (*seen, 99):
        exif = Image.Exif()
        exif[274] = turn
        expected = seen.get(turn, undo[0])(colours(turn))
        image = Image.fromarray(colours(turn))
        for kind, suffix, options, error in (
            ("PNG", "png", {}, 0),
            ("TIFF", "tif", {}, 0),
            ("WEBP", "webp", {"lossless": True}, 0),
            ("JPEG", "jpg", {"quality": 95, "subsampling": 0}, 4),
        ):
            raw = save(image, kind, exif=exif, **options)
            make.keep(f"exif-{turn}.{suffix}", raw, expected, error)


def several(make: Maker) -> None:
    frames = [Image.fromarray(greys(shade)) for shade in (1, 2, 3, 4)]
    more = {"save_all": True, "append_images": frames[1:]}
    for kind, suffix, options in (
        ("GIF", "gif", {}),
        ("PNG", "png", {}),
        ("WEBP", "webp", {"lossless": True}),
        ("TIFF", "tif", {}),
    ):
        make.keep(f"several.{suffix}", save(frames[0], kind, **more, **options), greys(1))
    for suffix in ("mpo", "jpg"):
        make.keep(f"two-images-{suffix}.{suffix}", save(frames[0], "MPO", **more), greys(1), 3)


def sizes(make: Maker) -> None:
    """Other sizes than 16 x 16: what torchvision makes of them."""
    usual = transforms.Compose([transforms.Resize(SIDE), transforms.CenterCrop(SIDE)])
    random = np.random.default_rng(1)
    shapes = (
        (1, 1),
        (1, 5000),
        (5000, 1),
        (2, 3),
        (15, 17),
        (17, 16),
        (16, 31),
        (300, 500),
        (33, 8),
    )
    for height, width in shapes:
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        make.keep(f"size-{height}x{width}.png", save(image, "PNG"), np.asarray(usual(image)))


def named(make: Maker) -> None:
    names = (
        "café",
        "cafe\u0301 2",
        "日本",
        "😀👩\u200d🔬",
        "שלום",
        "a" * 250,
        "new\nline",
        "tab\there",
    )
    names += (
        "=1+1",
        "+1",
        "-1",
        "@a",
        "'a",
        'q"uote',
        "a,b",
        "a;b",
        "50%",
        "back\\slash",
        " space ",
    )
    names += (
        "<script>alert(1)</script>".replace("/", "_"),
        "caf\udce9",
        "a.b.c",
        "\x1b[31mred",
        "CON",
    )
    for number, name in enumerate(names):
        make.keep(f"{name}.png", save(Image.fromarray(colours(number)), "PNG"), colours(number))
    image = save(Image.fromarray(colours(30)), "PNG")
    make.keep("deep/er/and/deep.er/1.png", image, colours(30))


def passed_over(folder: Path) -> None:
    names = (
        ".hidden.png",
        "._a.png",
        "Thumbs.db",
        "desktop.ini",
        ".DS_Store",
        "notes.txt",
        "none~",
    )
    for name in (*names, ".git/a.png", "__MACOSX/a.png", "labels.json", "a.png.bak", "x.jpg/a.png"):
        path = folder / "train" / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(Image.fromarray(colours()), "PNG"))


def special(folder: Path) -> None:
    """Links, a pipe and a socket; what becomes of them is in `SPECIAL`."""
    place = folder / "train" / "b"
    (place / "loop").symlink_to(folder, target_is_directory=True)
    (place / "again.png").symlink_to(next(place.glob("mode-*.png")))
    (place / "broken.png").symlink_to("nowhere.png")
    (place / "outside.png").symlink_to(__file__)
    (place / "outside").symlink_to(Path(__file__).parent, target_is_directory=True)
    os.mkfifo(place / "pipe.jpg")
    before = Path.cwd()
    os.chdir(place)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.jpg")
    os.chdir(before)


SPECIAL = {
    "train/b/broken.png": "a broken link",
    "train/b/outside.png": "a link out of the folder",
    "train/b/outside": "a link out of the folder",
    "train/b/pipe.jpg": "a named pipe, not a file",
    "train/b/socket.jpg": "a socket, not a file",
}


def pixel_name(pixels: Pixels) -> str:
    return sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def name_of(odd: Odd) -> str:
    """The name as lists show it."""
    return escape(odd.name)


def record(folder: Path) -> dict[str, object]:
    """What becomes of each file: pixels worked out here where exact, else the packer's."""
    files = make_folder(folder)
    settings = DataConfig(image_size=SIDE, max_unreadable=1.0)
    source = open_source(folder, settings)
    with tempfile.TemporaryDirectory() as place:
        pack = write_pack(source, settings, Path(place) / "pack", progress=lambda *_: None)
        rows = {name: row for row, name in enumerate(pack.files())}
        refused = dict(pack.quarantine())
        outcomes: dict[str, object] = {}
        for odd in files:
            row = rows.get(name_of(odd))
            if odd.pixels is not None and not odd.error and not (odd.cut and row is None):
                outcomes[name_of(odd)] = {"pixels": pixel_name(odd.pixels)}
            elif row is not None:
                outcomes[name_of(odd)] = {"pixels": pixel_name(pack.images[row])}
            else:
                outcomes[name_of(odd)] = {"reason": refused[name_of(odd)]}
        notes = dict(pack.manifest["notes"])
    return {
        "pillow": PIL.__version__,
        "files": outcomes,
        "special": SPECIAL,
        "notes": notes,
        "ignored": dict(source.ignored),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        found = record(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))
    RECORD.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=True) + "\n")
