"""Tars are read like folders; nothing is extracted, and what could do harm is refused or set aside."""

import gzip
import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.images.layouts import png
from tutelage.config.data import DataConfig
from tutelage.data.readers import tar, tar_stream
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError

DATA = DataConfig()
MODES = ("w", "w:gz", "w:bz2", "w:xz")


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def make(
    path: Path, mode: str = "w", *more: tuple[tarfile.TarInfo, bytes], good: bool = True
) -> Path:
    """Two classes of two images, and more members."""
    images = (
        [(member(f"{label}/{n}.png"), png(n)) for label in "ab" for n in range(2)] if good else []
    )
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in [*images, *more]:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", MODES)
def test_a_tar_is_read_and_never_extracted(mode: str, tmp_path: Path) -> None:
    """Under any name, since the content says what it is; long names in both dialects."""
    long = f"b/{'long' * 60}.png"
    for number, dialect in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        path = tmp_path / f"{number}.bin"
        with tarfile.open(path, mode, format=dialect) as archive:  # type: ignore[call-overload]
            for name in ("a/1.png", long):
                info = member(name)
                info.size = len(png(3))
                archive.addfile(info, io.BytesIO(png(3)))
        source = open_source(path, DATA)
        assert [item.name for item in source.items] == ["a/1.png", long]
        assert {item.read() for item in source.items} == {png(3)}
        assert source.description["kind"] == "tar"
    assert sorted(os.listdir(tmp_path)) == ["0.bin", "1.bin"]  # noqa: PTH208


@pytest.mark.parametrize("mode", MODES)
def test_links_and_devices_in_a_tar_are_set_aside(mode: str, tmp_path: Path) -> None:
    """None is followed, whatever it leads to."""
    more = [
        (member("a/soft.png", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("a/hard.png", tarfile.LNKTYPE, "a/0.png"), b""),
        (member("a/device.png", tarfile.CHRTYPE), b""),
        (member("a/pipe.png", tarfile.FIFOTYPE), b""),
    ]
    source = open_source(make(tmp_path / "a.tar", mode, *more), DATA)
    assert len(source.items) == 4
    assert {reason for _, reason in source.refused} == {"a link or device in a tar"}
    assert len(source.refused) == 4


@pytest.mark.parametrize(
    "name", ["/etc/1.png", "../1.png", "a/../../1.png", "C:/1.png", "a//1.png", "..\\1.png"]
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_unsafe_names_refuse_a_tar(name: str, mode: str, tmp_path: Path) -> None:
    """As in a zip."""
    with pytest.raises(InputError, match="unsafe name"):
        open_source(make(tmp_path / "a.tar", mode, (member(name), png())), DATA)


def test_a_name_twice_and_a_sparse_member_refuse_a_tar(tmp_path: Path) -> None:
    """Either could be read in two ways."""
    with pytest.raises(InputError, match="a name twice"):
        open_source(make(tmp_path / "a.tar", "w", (member("a/0.png"), png(8))), DATA)
    with pytest.raises(InputError, match="sparse"):
        open_source(
            make(tmp_path / "b.tar", "w", (member("a/s.png", tarfile.GNUTYPE_SPARSE), png())), DATA
        )


@pytest.mark.parametrize("mode", MODES)
def test_a_tar_that_is_cut_short_is_refused(mode: str, tmp_path: Path) -> None:
    """In a header, in an image, between two members."""
    path = make(tmp_path / "a.tar", mode)
    whole = path.read_bytes()
    for length in (
        (300, 530, 1024, 1400, 2048) if mode == "w" else (len(whole) // 3, len(whole) - 9)
    ):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="the tar is damaged"):
            open_source(path, DATA)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_what_is_no_tar_inside_is_refused(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A compressed text, and a bomb of zeros, which would be an empty tar."""
    path = tmp_path / "a.tar.gz"
    path.write_bytes(pack(b"no tar at all, only text" * 100))
    with pytest.raises(InputError, match="damaged, or no tar"):
        open_source(path, DATA)
    path.write_bytes(pack(bytes(100 << 20)))
    with pytest.raises(InputError, match="inflates more than 200-fold"):
        open_source(path, DATA)


def test_bounds_of_a_compressed_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of proportion, too large for memory, and a header that claims too much are refused."""
    bomb = make(tmp_path / "a.tgz", "w:gz", (member("a/bomb.png"), bytes(70 << 20)))
    with pytest.raises(InputError, match="inflates more than 200-fold"):
        open_source(bomb, DATA)
    monkeypatch.setattr(tar, "LARGEST_IN_MEMORY", 100)
    with pytest.raises(InputError, match="too large to be held in memory"):
        open_source(make(tmp_path / "b.tgz", "w:gz"), DATA)
    assert len(open_source(make(tmp_path / "b.tar"), DATA).items) == 4
    monkeypatch.setattr(tar_stream, "LARGEST_DICTIONARY", 1000)
    with pytest.raises(InputError, match="damaged"):
        open_source(make(tmp_path / "b.tar.xz", "w:xz"), DATA)
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 1 << 40
    (tmp_path / "c.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(InputError, match="a header of"):
        open_source(tmp_path / "c.tar", DATA)


@pytest.mark.parametrize("flag", ["-cf", "-czf", "-cjf", "-cJf"])
def test_a_tar_of_a_folder_with_its_folders(flag: str, tmp_path: Path) -> None:
    """As `tar -c .` makes it, with `./` and an entry for each folder, an empty class among them."""
    data = tmp_path / "data"
    for label in ("a", "b"):
        (data / label).mkdir(parents=True)
        (data / label / "1.png").write_bytes(png(len(label)))
    for number, what in enumerate((["-C", str(data), "."], ["-C", str(tmp_path), "data"])):
        path = tmp_path / f"{number}.tar"
        subprocess.run(["tar", flag, str(path), *what], check=True)
        assert open_source(path, DATA).classes == ("a", "b")
    (data / "empty").mkdir()
    subprocess.run(["tar", flag, str(tmp_path / "2.tar"), "-C", str(data), "."], check=True)
    with pytest.raises(InputError, match=r"a class folder holds no images(?s:.*)empty"):
        open_source(tmp_path / "2.tar", DATA)


def test_a_tar_may_hold_a_table(tmp_path: Path) -> None:
    """As a zip may."""
    table = b"path,label\nx/1.png,a\nx/2.png,b\n"
    more = [(member(name), png(n)) for n, name in enumerate(("set/x/1.png", "set/x/2.png"))]
    for mode in MODES:
        path = make(tmp_path / "a.tar", mode, *more, (member("set/labels.csv"), table), good=False)
        assert [item.label for item in open_source(path, DATA).items] == ["a", "b"]
