"""What a loss of power must not take is flushed before something is said to be finished."""

import os
from pathlib import Path

import pytest

from tutelage.storage.atomic import make_folder
from tutelage.storage.run_results import require_whole, seal_run


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths of this process's flushes, in order."""
    seen: list[Path] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        seen.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_a_finished_run(tmp_path: Path, flushed: list[Path]) -> None:
    """Each file that a run is finished with, and its name, before `run.json` says so."""
    counted = ("journal.jsonl", "scores.json", "predictions/val.safetensors")
    (tmp_path / "predictions").mkdir()
    for name in (*counted, "timings.json"):
        (tmp_path / name).write_text("{}")
    seal_run(tmp_path, {"name": "student-0", "role": "student", "seed": 0})
    require_whole(tmp_path)
    (said,) = (at for at, path in enumerate(flushed) if path.name.startswith(".run.json."))
    for path in (tmp_path / "predictions", tmp_path, *(tmp_path / name for name in counted)):
        assert path in flushed[:said]
    assert tmp_path in flushed[said:]


def test_new_folders(tmp_path: Path, flushed: list[Path]) -> None:
    """The name of each new folder is flushed in the one that holds it; nothing where it is there."""
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert flushed == [tmp_path, tmp_path / "a"]
    make_folder(tmp_path / "a" / "b")
    assert len(flushed) == 2
