"""Reading folders: what is missing is named."""

import json
import shutil
from pathlib import Path

import pytest

from support.reseal import reseal
from tutelage.errors import InputError, UsageError
from tutelage.reports.record.read import read_job, read_runs
from tutelage.reports.render.console import render_comparison
from tutelage.reports.write import comparison, summary
from tutelage.storage.checksums import read_sealed, write_sealed

NEEDED = [
    "plan.json",
    "data.json",
    "config.toml",
    "teacher/run.json",
    "student-1/scores.json",
    "student-1/journal.jsonl",
    "student-1/timings.json",
    "student-1/environment.json",
    "control-0/predictions/val.safetensors",
]


@pytest.fixture
def copy(job: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(job, tmp_path / "job"))


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    """An incomplete job is refused with the name of the missing file."""
    (copy / name).unlink()
    with pytest.raises(InputError, match=Path(name).name):
        read_job(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_refused(copy: Path, content: bytes) -> None:
    """A scores file that is no JSON object is refused, not a crash."""
    (copy / "student-0" / "scores.json").write_bytes(content)
    with pytest.raises(InputError, match=r"scores\.json"):
        read_job(copy)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 8 + b"{}"])
def test_damaged_predictions_are_refused(copy: Path, content: bytes) -> None:
    """Predictions that are not safetensors are refused, also where their checksum is right."""
    path = copy / "student-0" / "predictions" / "val.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a run that is damaged[^$]*val\.safetensors"):
        read_job(copy)
    reseal(copy / "student-0")
    with pytest.raises(InputError, match="predictions cannot be read"):
        read_job(copy)


def test_a_missing_field_is_named(copy: Path) -> None:
    """A scores file without an accuracy is refused with the path of the field."""
    path = copy / "student-0" / "scores.json"
    scores = json.loads(path.read_text())
    del scores["last"]["val"]["accuracy"]
    path.write_text(json.dumps(scores))
    reseal(path.parent)
    with pytest.raises(InputError, match=r"last\.val\.accuracy cannot be read"):
        read_job(copy)


def test_a_run_outside_the_job_is_refused(copy: Path) -> None:
    """A plan cannot point out of its folder."""
    plan = read_sealed(copy / "plan.json", kind="a job")
    plan["runs"][0]["folder"] = "../job/../.."
    write_sealed(copy / "plan.json", plan)
    with pytest.raises(InputError, match="outside"):
        read_job(copy)


def test_a_shortened_pack_is_refused(copy: Path) -> None:
    """Pixels of another length than the manifest says are refused."""
    path = copy / "pack" / "images.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"images\.bin has the wrong length"):
        read_job(copy)


def test_runs_without_a_job(job: Path) -> None:
    """Run folders alone can be compared; the lines end with the verdict."""
    record = read_runs([job / name for name in ("teacher", "student-0", "control-0")])
    lines = render_comparison(record)
    assert record.data is None
    assert any(line.startswith("student-0") for line in lines)
    assert lines[-1].startswith("One seed cannot tell")
    with pytest.raises(UsageError):
        read_runs([])


def test_runs_of_the_same_name_are_told_apart(job: Path, copy: Path) -> None:
    """Two runs called student-0 are shown with the folder above them."""
    other = copy.rename(copy.with_name("other"))
    names = [run.name for run in read_runs([job / "student-0", other / "student-0"]).runs]
    assert names == ["job/student-0", "other/student-0"]


@pytest.mark.parametrize("name", ["journal.jsonl", "timings.json", "config.toml", "run.json"])
def test_files_of_another_run_are_refused(copy: Path, name: str) -> None:
    """A whole file of another run is not taken for the run's own."""
    (copy / "student-0" / name).write_bytes((copy / "student-1" / name).read_bytes())
    with pytest.raises(InputError, match="student-0"):
        read_job(copy)


def test_a_job_stands_for_its_runs(job: Path, copy: Path) -> None:
    """Comparing one job shows its summary; two jobs, all their runs."""
    assert comparison([job]) == summary(job)
    other = copy.rename(copy.with_name("other"))
    lines = comparison([job, other])
    assert sum("student-" in line for line in lines) == 6
    assert "several students have the same seed" in lines[-1]
