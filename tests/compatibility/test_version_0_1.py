"""Folders that version 0.1 wrote are read and resumed, and the same commands make the same bytes.

`version-0.1.tar.xz` was written by commit b1cf778, before modules, settings, methods and losses got the names
they have now: the images, a pack, an offline job, a job of deep mutual learning, an offline job that was
interrupted in its student's first epoch, and the cache of the teacher's outputs.
"""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tutelage.cli import call
from tutelage.config.renamed import current_run_name
from tutelage.errors import UsageError
from tutelage.storage.checksums import read_sealed, write_sealed

ARCHIVE = Path(__file__).with_name("version-0.1.tar.xz")
RECORDED = json.loads(Path(__file__).with_name("digests.json").read_text(encoding="utf-8"))
"""What the same commit made of the same commands on another kind of processor."""
NETWORKS = [
    part
    for role, optimizer in (("teacher", []), ("student", ["optimizer", "sgd", "lr", "0.05"]))
    for name, value in zip(
        *[iter(["model", "cifar_resnet8", "weights", "none", "batch-size", "24", *optimizer])] * 2,
        strict=True,
    )
    for part in (f"--{role}.{name}", value)
]
COMMON = [
    "--image-size", "32", "--teacher.epochs", "2", "--student.epochs", "4", "--precision", "fp32",
    "--device", "cpu", "--compile", "no", "--skip-teacher-check", "--quiet", *NETWORKS,
]  # fmt: skip
COMMANDS = {
    "offline": [
        "--teacher-outputs", "cached", "--student.flip", "--student.translate", "2",
        "--student.num-views", "2", "--student.clip-grad", "5", "--student.grad-accum-steps", "2",
        "--student.keep-checkpoints", "2", "--losses.cc.weight", "0.02",
    ],
    "mutual": [
        "--student.clip-grad", "5", "--method", "dml", "--losses.at.weight", "10",
        "--losses.sp.weight", "100",
    ],
}  # fmt: skip
RUNS = {
    "offline": ("teacher", "student-0", "control-0"),
    "mutual": ("student-0", "control-0", "peer1-alone-0"),
}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What version 0.1 wrote."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> object:
    """The folders were written by one thread, and sums depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def processor() -> str:
    """Name the kind of processor: kernels, and with them the last bits of sums, differ between kinds."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    return f"{facts.get('vendor_id')} {facts.get('cpu family')} {facts.get('model')}"


def digests_of(run: Path) -> dict[str, str]:
    """SHA-256 of every file of weights and logits of a run, and of its scores but for names of roles."""
    files = {path.relative_to(run).as_posix(): path for path in run.rglob("*.safetensors")}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    scores = json.loads((run / "scores.json").read_text())
    assert scores.pop("role")
    scores["name"] = current_run_name(scores["name"])
    plain = json.dumps(scores, sort_keys=True).encode()
    return {**found, "scores": hashlib.sha256(plain).hexdigest()}


def require_same_run(new: Path, old: Path, recorded: dict[str, str]) -> None:
    """Weights, logits and scores of a run are, to the byte, those that version 0.1 made.

    Either those in the archive, or those recorded from version 0.1 on another kind of processor. On a third
    kind, where its bytes are not known, numbers are compared.
    """
    ours, theirs = digests_of(new), digests_of(old)
    assert ours.keys() == theirs.keys() == recorded.keys()
    if ours in (theirs, recorded):
        return
    differing = sorted(name for name in ours if ours[name] != recorded[name])
    known = torch.__version__.startswith(RECORDED["torch"]) and processor() == RECORDED["processor"]
    assert not known, f"other bytes than version 0.1: {differing}"
    for name in ours.keys() - {"scores"}:
        mine, its = load_file(new / name), load_file(old / name)
        assert mine.keys() == its.keys()
        for key, tensor in its.items():
            np.testing.assert_allclose(mine[key], tensor, rtol=5e-2, atol=5e-2, err_msg=name)


@pytest.mark.parametrize("job", ["offline", "mutual"])
def test_same_commands_make_the_same_bytes(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    """Run the commands that made the folders, in today's words."""
    monkeypatch.chdir(old)
    call(["run", "photos", "--out", str(tmp_path / job), *COMMON, *COMMANDS[job]])
    for run in RUNS[job]:
        found = tmp_path / job / current_run_name(run)
        require_same_run(found, old / "jobs" / job / run, RECORDED[job][run])


@pytest.fixture
def jobs(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old folders to work in, with the images where the job says they are."""
    shutil.copytree(old, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    for job in Path("jobs").glob(
        "*/job.json"
    ):  # written where the images were called just `photos`
        facts = read_sealed(job, kind="a job")
        write_sealed(job, {**facts, "data": str(tmp_path / "old" / "photos")})
    return tmp_path / "old" / "jobs"


def test_old_folders_are_whole(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tutelage verify` reads every file of them, and the pack."""
    call(["verify", str(jobs)])
    assert "179 files whole" in capsys.readouterr().out
    call(["verify", str(jobs.parent / "pack")])
    assert "7 files whole" in capsys.readouterr().out


@pytest.mark.parametrize("job", ["offline", "mutual"])
def test_old_jobs_are_reported(jobs: Path, job: str) -> None:
    """The report is written again, with every run under its role of today."""
    call(["report", str(jobs / job)])
    text = (jobs / job / "report" / "report.md").read_text()
    for run in RUNS[job]:
        assert run in text
    scores = json.loads((jobs / job / "report" / "scores.json").read_text())
    roles = {name: run["role"] for name, run in scores["runs"].items()}
    assert roles["student-0"] == "student"
    assert roles.get("peer1-alone-0", "peer-control") == "peer-control"


def test_old_networks_predict(jobs: Path) -> None:
    """A run of version 0.1 classifies images, and its network's logits are those that it saved."""
    run = jobs / "offline" / "student-0"
    call(["predict", str(run), "photos/test", "--out", "found.csv"])
    ours = Path("found.csv").read_text().splitlines()
    assert len(ours) == 1 + 12
    call(["evaluate", str(run), "pack"])


def test_old_cache_answers(jobs: Path, tmp_path: Path) -> None:
    """A new student of the old teacher finds its outputs in the old cache."""
    words = [
        "--model", "cifar_resnet8", "--weights", "none", "--epochs", "2", "--batch-size", "24", "--flip",
        "--translate", "2", "--num-views", "2", "--losses.cc.weight", "0.02", "--precision", "fp32",
    ]  # fmt: skip
    places = ["--teacher", str(jobs / "offline/teacher"), "--cache", str(jobs / "teacher-cache")]
    caches = list((jobs / "teacher-cache").iterdir())
    out = tmp_path / "again"
    call(["distill", "pack", "--out", str(out), *places, *words, "--skip-teacher-check", "--quiet"])
    assert json.loads((out / "timings.json").read_text())["teacher_pass_seconds"] is None
    assert [path for path in (jobs / "teacher-cache").iterdir() if path.is_dir()] == caches


def test_interrupted_job_is_resumed(jobs: Path, old: Path) -> None:
    """It goes on from its checkpoint, keeps its teacher, and ends in the bytes of the whole job."""
    assert list((jobs / "interrupted/student-0/checkpoints").glob("step-*"))
    teacher = (jobs / "interrupted/teacher/run.json").read_bytes()
    call(["resume", str(jobs / "interrupted"), "--quiet"])
    assert (jobs / "interrupted/teacher/run.json").read_bytes() == teacher
    incidents = (jobs / "interrupted/student-0/incidents.jsonl").read_text()
    assert "continued" in incidents
    for run in RUNS["offline"]:
        found = jobs / "interrupted" / run
        require_same_run(found, old / "jobs/offline" / run, RECORDED["interrupted"][run])


@pytest.mark.parametrize("job", ["offline", "mutual"])
def test_finished_jobs_are_returned(jobs: Path, job: str) -> None:
    """The same command, in today's words, finds its work done; other settings are refused by today's name."""
    before = (jobs / job / "job.json").read_bytes()
    call(["run", "photos", "--out", str(jobs / job), *COMMON, *COMMANDS[job]])
    assert (jobs / job / "job.json").read_bytes() == before
    other = ["6" if word == "5" else word for word in COMMANDS[job]]
    with pytest.raises(UsageError, match=r"student\.clip_grad"):
        call(["run", "photos", "--out", str(jobs / job), *COMMON, *other])
