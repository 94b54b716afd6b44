"""`tutelage verify`: everything is read, what is damaged is named, and the exit code says so."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tutelage.__main__ import main
from tutelage.commands.verify import verify
from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.errors import InputError
from tutelage.storage.sidecar import write_checksum


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, small_pack: Pack, teacher_folder: Path) -> Path:
    """A folder with a pack, a model folder and a deployed file, among other files and a work in progress."""
    root = tmp_path_factory.mktemp("kept") / "runs"
    shutil.copytree(small_pack.folder, root / "deep" / "pack")
    shutil.copytree(teacher_folder, root / "model")
    (root / "model.onnx").write_bytes(b"a network")
    write_checksum(root / "model.onnx", b"a network")
    (root / "notes.json").write_text("{}")
    (root / ".x.part").mkdir()
    (root / ".x.part" / "images.bin").write_bytes(b"half")
    return root


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in verify(root).damaged)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], tuple[int, str, str]]:
    """Run `tutelage verify PATH` in this process: exit code, output, errors."""

    def run(path: Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tutelage", "verify", str(path)])
        code = main()
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_whole(kept: Path, command: Callable[[Path], tuple[int, str, str]]) -> None:
    """What is whole is counted, and what is not ours is not."""
    files = [path for path in kept.rglob("*") if path.is_file()]
    ours = [path for path in files if path.name != "notes.json" and ".x.part" not in path.parts]
    assert sorted(verify(kept).whole) == sorted(ours)
    assert command(kept) == (0, f"{len(ours)} files whole\n", "")


def test_all_that_is_damaged_is_named(
    kept: Path, tmp_path: Path, command: Callable[[Path], tuple[int, str, str]]
) -> None:
    """Every damaged and every missing file is named, one a line, and the exit code is 3."""
    copy = Path(shutil.copytree(kept, tmp_path / "runs"))
    for name in ("deep/pack/images.bin", "model/config.json", "model.onnx"):
        raw = bytearray((copy / name).read_bytes())
        raw[-1] ^= 1
        (copy / name).write_bytes(raw)
    (copy / "deep" / "pack" / "quarantine.csv").unlink()
    damaged = [
        "deep/pack/images.bin",
        "deep/pack/quarantine.csv",
        "model.onnx",
        "model/config.json",
    ]
    found = verify(copy).damaged
    assert {copy / name for name in damaged} == set(found)
    last = len(np.fromfile(copy / "deep" / "pack" / "keys.bin", np.int64)) - 1
    assert str(last) in found[copy / "deep" / "pack" / "images.bin"]
    code, _, error = command(copy)
    assert code == 3
    assert "4 files damaged" in error
    told = [line.partition(": ")[2] for line in error.splitlines() if line.startswith("damaged: ")]
    assert told == [f"{path}: {why}" for path, why in found.items()]


def test_however_many_are_damaged(
    kept: Path, tmp_path: Path, command: Callable[[Path], tuple[int, str, str]]
) -> None:
    """No name is cut away where a whole disk is damaged."""
    for number in range(60):
        folder = Path(shutil.copytree(kept / "model", tmp_path / "runs" / f"model-{number}"))
        (folder / "config.json").write_text("{}")
    code, _, error = command(tmp_path / "runs")
    assert code == 3
    assert "60 files damaged" in error
    assert all(f"model-{number}/config.json: " in error for number in range(60))


@pytest.mark.parametrize(
    "lost", ["model/tutelage.json", "deep/pack/manifest.json", "model.onnx.sha256"]
)
def test_a_lost_sealed_file_is_found(kept: Path, tmp_path: Path, lost: str) -> None:
    """An artefact without its sealed file is recognised by its other files."""
    copy = Path(shutil.copytree(kept, tmp_path / "runs"))
    (copy / lost).unlink()
    assert any(lost in name or name in lost for name in names(copy))


def test_a_run(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All files of a finished run are read, those of its model folders too."""
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
    run = train_one(single(epochs=1), small_pack, place("run"))
    files = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert sorted(verify(run).whole) == sorted(files)
    for path in files:
        raw = path.read_bytes()
        path.write_bytes(raw[:-1])
        assert path in verify(run).damaged, path
        path.write_bytes(raw)


def test_nothing_there(tmp_path: Path) -> None:
    """A folder of other files, and none at all, are errors rather than whole."""
    (tmp_path / "letter.txt").write_text("dear")
    for path in (tmp_path, tmp_path / "letter.txt", tmp_path / "none"):
        with pytest.raises(InputError, match="nothing there"):
            verify(path)
