"""Zips of images, and the bundled sample."""

import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Unreadable
from tutelage.errors import InputError

DATA = DataConfig()


def pack(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_the_sample_has_7800_2600_2600_images_of_10_classes() -> None:
    """The bundled sample: 780 and 260 a class to train and validate, 2,600 unlabelled to test."""
    source = open_source("sample", DATA)
    assert len(source.classes) == 10
    count = Counter((item.split, item.label) for item in source.items)
    assert {count["train", name] for name in source.classes} == {780}
    assert {count["val", name] for name in source.classes} == {260}
    assert count["test", None] == 2600
    assert sum(count.values()) == 13_000


def test_a_zip_is_read_like_a_folder_and_never_extracted(tmp_path: Path, bags: list[bytes]) -> None:
    """Members are read in memory; nothing is written; a folder around them is left away."""
    members = {f"set/{split}/{name}/1.png": bags[0] for split in ("train", "val") for name in "ab"}
    members |= {"set/notes.txt": b"", "__MACOSX/._1.png": b"", "set/.hidden.png": b""}
    path = pack(tmp_path / "set.zip", members)
    source = open_source(path, DATA)
    assert [item.name for item in source.items] == [
        "train/a/1.png",
        "train/b/1.png",
        "val/a/1.png",
        "val/b/1.png",
    ]
    assert source.items[0].read() == bags[0]
    assert os.listdir(tmp_path) == ["set.zip"]  # noqa: PTH208
    assert source.ignored == {".txt file": 1, "hidden": 1, "system file": 1}


def test_a_zip_may_hold_a_table(tmp_path: Path, bags: list[bytes]) -> None:
    """A CSV table at the top of a zip names the images in it."""
    members = {"labels.csv": b"path,label\nx/1.png,a\nx/2.png,b\n", "x/1.png": bags[0]}
    source = open_source(pack(tmp_path / "a.zip", members | {"x/2.png": bags[1]}), DATA)
    assert [(item.name, item.label) for item in source.items] == [
        ("x/1.png", "a"),
        ("x/2.png", "b"),
    ]
    with pytest.raises(InputError, match="line 3"):
        open_source(pack(tmp_path / "b.zip", members), DATA)


@pytest.mark.parametrize(
    "name", ["/etc/1.png", "../1.png", "a/../../1.png", "C:/1.png", "a//1.png"]
)
def test_a_zip_with_an_unsafe_name_is_refused(tmp_path: Path, name: str) -> None:
    """Absolute names and `..` refuse the whole zip, although nothing would be written."""
    path = pack(tmp_path / "a.zip", {"a/1.png": b"", name: b""})
    with pytest.raises(InputError, match="unsafe name"):
        open_source(path, DATA)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    """Two members of one name could be read as either, so the zip is refused."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for content in ("1", "2"):
            archive.writestr("a/1.png", content)
    with pytest.raises(InputError, match="a name twice"):
        open_source(tmp_path / "a.zip", DATA)


def test_links_and_members_out_of_proportion_are_set_aside(
    tmp_path: Path, bags: list[bytes]
) -> None:
    """A symbolic link and a member that inflates 1,000-fold are listed, not read."""
    link = zipfile.ZipInfo("a/link.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a/bomb.png", bytes(2 << 20))
        archive.writestr("a/1.png", bags[0])
        archive.writestr("b/1.png", bags[1])
    reasons = dict(open_source(tmp_path / "a.zip", DATA).refused)
    assert reasons["a/link.png"] == "a link or device in a zip"
    assert reasons["a/bomb.png"].startswith("inflates ")


def test_a_damaged_member_is_unreadable(tmp_path: Path, bags: list[bytes]) -> None:
    """A member whose checksum is wrong is set aside when it is read."""
    path = pack(tmp_path / "a.zip", {"a/1.png": bags[0], "b/1.png": bags[1]})
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Unreadable, match="damaged in the zip"):
        open_source(path, DATA).items[0].read()


def test_a_damaged_table_in_a_zip_is_an_error(tmp_path: Path, bags: list[bytes]) -> None:
    """A CSV member whose checksum is wrong stops the scan with a message."""
    path = pack(tmp_path / "a.zip", {"a.csv": b"path,label\n1.png,a\n", "1.png": bags[0]})
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="cannot read the table"):
        open_source(path, DATA)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    """Any other file given as data is refused with the layouts that are read."""
    path = tmp_path / "data.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a folder, a table, a zip or a tar"):
        open_source(path, DATA)
