"""Files and folders are whole or absent, and old ones stay until new ones are complete."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.errors import InputError, MachineError
from tutelage.storage.atomic import (
    read_json,
    recover_partial_writes,
    whole_folder,
    write_bytes,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_bytes(tmp_path: Path) -> None:
    """A file is written and replaced, and nothing else is left beside it."""
    path = tmp_path / "a.bin"
    for content in (b"one", b"", b"three"):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("broken", ["fsync", "rename"])
def test_write_bytes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """When the disk refuses, the old file is still there and no part of the new one is."""
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(MachineError, match="No space left") as caught:
        write_bytes(path, b"new")
    assert str(tmp_path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_write_where_nothing_is(tmp_path: Path) -> None:
    """A missing folder is the machine's error, by name."""
    with pytest.raises(MachineError, match=r"a\.bin"):
        write_bytes(tmp_path / "none" / "a.bin", b"x")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_file_mode(tmp_path: Path, mask: int) -> None:
    """Files and folders get the rights that the user's umask gives, not a temporary file's."""
    old = os.umask(mask)
    try:
        write_bytes(tmp_path / "a.bin", b"x")
        with whole_folder(tmp_path / "folder") as part:
            (part / "b.bin").write_bytes(b"y")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((tmp_path / "folder" / "b.bin").stat().st_mode) == 0o666 & ~mask


def test_json(tmp_path: Path) -> None:
    """JSON comes back as it was: any text, file names that are not text, exact numbers."""
    content = {
        "b": [1, 0.1, None, True],
        "a": "Zürich 日本 \u2028",
        "name": os.fsdecode(b"\xff.png"),
    }
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert list(read_json(tmp_path / "a.json")) == list(content)


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    """Not-a-number is refused before anything is written."""
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x80\x81", b"[" * 100_000, None])
def test_bad_json(tmp_path: Path, content: bytes | None) -> None:
    """What is not JSON, or not there, is an input error that names the file."""
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(path)


def test_whole_folder(tmp_path: Path) -> None:
    """A folder takes the place of the old one at the end, all of it."""
    target = tmp_path / "deep" / "folder"
    for name in ("one", "two"):
        with whole_folder(target) as part:
            assert names(part) == []
            (part / name).write_bytes(b"x")
            if name == "two":
                assert names(target) == ["one"]
        assert names(target) == [name]
        assert names(target.parent) == ["folder"]


@pytest.mark.parametrize("failure", [RuntimeError("x"), KeyboardInterrupt(), OSError(28, "full")])
def test_whole_folder_fails(tmp_path: Path, failure: BaseException) -> None:
    """When the body fails, the old folder is untouched and the new one is gone."""
    target = tmp_path / "folder"
    with whole_folder(target) as part:
        (part / "old").write_bytes(b"old")

    def fail() -> None:
        with whole_folder(target) as part:
            (part / "new").write_bytes(b"new")
            raise failure

    with pytest.raises((type(failure), MachineError)):
        fail()
    assert names(tmp_path) == ["folder"]
    assert (target / "old").read_bytes() == b"old"


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_whole_folder_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """When the last rename is refused, or Ctrl-C comes just then, the old folder is in its place."""
    target = tmp_path / "folder"
    with whole_folder(target) as part:
        (part / "old").write_bytes(b"old")
    real = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if path.suffix == ".part":
            raise failure
        return real(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises((MachineError, KeyboardInterrupt)), whole_folder(target) as part:
        (part / "new").write_bytes(b"new")
    assert names(tmp_path) == ["folder"]
    assert names(target) == ["old"]


@pytest.mark.parametrize("moment", ["filling", "between", "after"])
def test_killed(tmp_path: Path, moment: str) -> None:
    """A process killed at any moment leaves the old folder or the new one, whole, and no rubbish."""
    target = tmp_path / "folder"
    with whole_folder(target) as part:
        (part / "old").write_bytes(b"old")
    program = (
        "import os, shutil, sys; from pathlib import Path; from tutelage.storage.atomic import whole_folder\n"
        "target, moment = Path(sys.argv[1]), sys.argv[2]\n"
        "real = Path.rename\n"
        "def rename(path, to):\n"
        "    os._exit(9) if path.suffix == '.part' and moment == 'between' else real(path, to)\n"
        "Path.rename = rename\n"
        "remove = shutil.rmtree\n"
        "def rmtree(path, **options):\n"
        "    os._exit(9) if path.suffix == '.old' else remove(path, **options)\n"
        "shutil.rmtree = rmtree\n"
        "with whole_folder(target) as part:\n"
        "    (part / 'new').write_bytes(b'new')\n"
        "    if moment == 'filling': os._exit(9)\n"
    )
    command = [sys.executable, "-c", program, str(target), moment]
    assert subprocess.run(command, check=False).returncode == 9
    assert names(tmp_path) != ["folder"]
    recover_partial_writes(tmp_path)
    assert names(tmp_path) == ["folder"]
    assert names(target) == (["new"] if moment == "after" else ["old"])
    recover_partial_writes(tmp_path)
    recover_partial_writes(tmp_path / "none")
    assert names(tmp_path) == ["folder"]
