"""Which files count: systems' folders, files without an ending, links; and what messages say of the rest."""

import io
import os
import random
from pathlib import Path

import pytest
from PIL import Image

from support.images.layouts import SYSTEM, png, write
from tutelage.config.data import DataConfig
from tutelage.data.decode.decode import decode
from tutelage.data.inspect import check_source, format_check
from tutelage.data.readers.folder import scan_folder
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Unreadable
from tutelage.errors import InputError

FORMATS = {
    "PNG": "png", "JPEG": "jpg", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp", "PPM": "ppm",
    "AVIF": "avif", "JPEG2000": "jp2", "TGA": "tga", "PCX": "pcx", "SGI": "sgi", "QOI": "qoi",
}  # fmt: skip
BY_ENDING_ALONE = ("TGA", "PCX", "SGI")
"""A few bytes do not tell them from other files."""


def saved(kind: str, shade: int = 90, mode: str = "RGB") -> bytes:
    raw = io.BytesIO()
    Image.new(mode, (32, 24), (shade, 20, 200) if mode == "RGB" else shade).save(raw, kind)  # type: ignore[arg-type]
    return raw.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_under_any_name(kind: str, tmp_path: Path) -> None:
    """By its content: with its own ending, another image's, none, and one that says nothing."""
    names = [f"x.{FORMATS[kind]}", "x.png", f"x.{FORMATS[kind].upper()}"]
    if kind not in BY_ENDING_ALONE:
        names += ["x", "subject01.glasses", "12.34", "photo.jpg_large", "x.dat"]
    for number, name in enumerate(names):
        files = {f"a/{name}": saved(kind), "b/1.png": png()}
        (tmp_path / str(number)).mkdir()
        container = ("folder", "zip", "tar", "tgz")[number % 4]
        data = write(files, tmp_path / str(number), container, random.Random(0))
        (item,) = (one for one in open_source(data, DataConfig()).items if one.label == "a")
        assert item.name == f"a/{name}"
        pixels = decode(item.read(), DataConfig()).pixels
        assert pixels.shape == (24, 32, 3)
        assert abs(pixels.astype(int) - [90, 20, 200]).mean() < 8


@pytest.mark.parametrize(
    "name",
    ["x.txt", "x.json", "x.png.bak", "x.png~", "x.CR2", "x.nef", ".x.png", "._x.png", "Thumbs.db"],
)
def test_names_that_are_no_images_whatever_they_hold(name: str, tmp_path: Path) -> None:
    """Texts, copies that programs leave, and raw files, which begin like a TIFF, are passed over."""
    content = saved("TIFF") if name.lower().endswith(("cr2", "nef")) else png()
    files = {f"a/{name}": content, "a/1.png": png(1), "b/1.png": png(2)}
    source = open_source(write(files, tmp_path, "folder", random.Random(0)), DataConfig())
    assert len(source.items) == 2
    assert sum(source.ignored.values()) == 1
    assert list(source.examples.values()) == [[f"a/{name}"]]


def test_texts_that_begin_like_an_image_are_none(tmp_path: Path) -> None:
    """Two letters make no bitmap, and a P with a digit no portable map."""
    files = {"a/1.png": png(), "b/1.png": png(1)}
    for number, text in enumerate(
        (b"BM is short for bitmap\n" * 4, b"P1 is a runway", b"\xff\xd8 is no text")
    ):
        files[f"a/note{number}"] = text
    source = open_source(write(files, tmp_path, "folder", random.Random(0)), DataConfig())
    assert source.ignored == {"file without an ending": 3}


@pytest.mark.parametrize("system", SYSTEM)
def test_folders_of_systems_are_passed_over_everywhere(system: str, tmp_path: Path) -> None:
    """At the top, in a split and in a class, on disk and in a zip: counted once, with the name."""
    for number, container in enumerate(("folder", "zip", "tar.xz")):
        files = {f"train/{label}/{n}.png": png(n) for label in "ab" for n in range(2)}
        places = ("", "train/", "train/a/")
        files |= {f"{place}{system}/x/{n}.png": png(9) for place in places for n in range(2)}
        (tmp_path / str(number)).mkdir()
        source = open_source(
            write(files, tmp_path / str(number), container, random.Random(0)), DataConfig()
        )
        assert len(source.items) == 4
        assert list(source.ignored.values()) == [3]
        (names,) = source.examples.values()
        assert set(names) == {f"{place}{system}" for place in places}


@pytest.mark.parametrize("name", ["$5", "@", "#1", "cats@home", "a$b", "lost and found", "thumbs"])
def test_classes_that_only_look_like_them_stay(name: str, tmp_path: Path) -> None:
    """A price, a sign or a number is a class."""
    data = write(
        {f"{label}/1.png": png() for label in (name, "b")}, tmp_path, "folder", random.Random(0)
    )
    assert set(open_source(data, DataConfig()).classes) == {name, "b"}


def test_check_shows_what_was_read_and_what_was_passed_over(tmp_path: Path) -> None:
    """A sentence, counts of each class and split, and every reason with its count and first names."""
    files = {
        f"{split}/{label}/{split}{n}.png": png(100 * at + n)
        for at, (split, label) in enumerate(
            [(s, c) for s in ("training_set", "test_set") for c in ("cat", "dog")]
        )
        for n in range(12)
    }
    files |= {f"training_set/cat/{n}.txt": b"a caption" for n in range(5)} | {"@eaDir/1.png": png()}
    data = write(files, tmp_path, "folder", random.Random(0))
    config = DataConfig(image_size=8)
    lines = format_check(check_source(open_source(data, config), config))
    read = "read as 2 classes in 2 splits: training_set is train, test_set is test"
    assert f"{read}; val is drawn from train" in lines
    names = ", ".join(f"training_set/cat/{n}.txt" for n in range(3))
    assert f"passed over: .txt file (5): {names}, ..." in lines
    assert "passed over: system file (1): @eaDir" in lines
    counts = [line.split()[1:] for line in lines if line.startswith(("cat", "dog"))]
    assert counts == [["11", "1", "12"]] * 2


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"notes.txt": b"", "a/b.json": b"{}", "x.bin": b"\0"},
            r"\.bin file \(1\): x\.bin; \.json file \(1\): a/b",
        ),
        (
            {"train.zip": b"PK", "test.zip": b"PK"},
            r"(?s)\.zip file \(2\).*the archive itself: .*test\.zip",
        ),
        ({".hidden/1.png": b"", "Thumbs.db": b""}, r"hidden \(1\): \.hidden; system file \(1\)"),
    ],
)
def test_no_images_says_what_was_seen(files: dict[str, bytes], says: str, tmp_path: Path) -> None:
    """Each reason why files were passed over, with its count and a name."""
    with pytest.raises(InputError, match=says) as refused:
        open_source(write(files, tmp_path, "folder", random.Random(0)), DataConfig())
    assert refused.value.what == "there are no images"


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """Class folders of links into a store outside, one of them a folder, with loops and broken links."""
    store = tmp_path / "store"
    for name in ("cat", "dog"):
        (store / name).mkdir(parents=True)
        for n in range(3):
            (store / name / f"{n}.png").write_bytes(png(n))
    data = tmp_path / "data"
    (data / "cat").mkdir(parents=True)
    for n in range(3):
        (data / "cat" / f"{n}.png").symlink_to(store / "cat" / f"{n}.png")
    (data / "dog").symlink_to(store / "dog", target_is_directory=True)
    (store / "dog" / "again").symlink_to(store / "dog", target_is_directory=True)
    (store / "dog" / "home").symlink_to(data, target_is_directory=True)
    (data / "cat" / "up").symlink_to(tmp_path, target_is_directory=True)
    (data / "cat" / "gone.png").symlink_to("nowhere")
    (data / "cat" / "device.png").symlink_to("/dev/zero")
    return data


def test_links_out_of_the_folder_are_followed_on_request(farm: Path) -> None:
    """Files and folders; loops end, and a link to a folder around this one is refused."""
    with pytest.raises(InputError, match=r"there are no images(?s:.*)--data\.links follow"):
        open_source(farm, DataConfig())
    source = open_source(farm, DataConfig(links="follow"))
    assert [item.name for item in source.items] == [
        f"{c}/{n}.png" for c in ("cat", "dog") for n in range(3)
    ]
    assert all(item.read() for item in source.items)
    assert dict(source.refused) == {
        "cat/up": "a link to a folder around this one",
        "cat/gone.png": "a broken link",
        "cat/device.png": "a device, not a file",
    }


def test_a_pipe_without_an_ending_is_not_opened(tmp_path: Path) -> None:
    """Looking at its first bytes would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert scan_folder(tmp_path).ignored == {"file without an ending": 1}


FOREIGN = {
    "x.ico": saved("ICO"), "x.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n", "x.dcm": bytes(128) + b"DICM",
    "x.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "x": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
    "x.jxl": b"\0\0\0\x0cJXL \r\n\x87\n", "x.psd": b"8BPS\0\1" + bytes(20), "x.dds": b"DDS " + bytes(124),
    "x.exr": b"\x76\x2f\x31\x01" + bytes(20), "x.xcf": b"gimp xcf v011\0", "x.png": b"8BPS\0\1" + bytes(20),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_images_that_are_not_read_are_set_aside_by_name(name: str, tmp_path: Path) -> None:
    """Not passed over: whoever has them counts them among the images."""
    files = {f"a/{name}": FOREIGN[name], "a/1.png": png(1), "b/1.png": png(2)}
    source = open_source(write(files, tmp_path, "folder", random.Random(0)), DataConfig())
    raw = next(item.read() for item in source.items if item.name == f"a/{name}")
    with pytest.raises(Unreadable, match=r"format not supported: |PostScript"):
        decode(raw, DataConfig())
