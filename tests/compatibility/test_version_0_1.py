"""Folders that version 0.1 wrote are read and resumed, and the same commands make the same bytes.

`version-0.1.tar.xz` was written by commit b1cf778, before modules, settings, methods and losses got the names
they have now: the images, a pack, an offline job, a job of deep mutual learning, an offline job that was
interrupted in its student's first epoch, and the cache of the teacher's outputs.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tutelage.cli import call
from tutelage.config.training import DeviceConfig
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.environment import environment

ARCHIVE = Path(__file__).with_name("version-0.1.tar.xz")
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


def same_machine(old: Path) -> bool:
    """Whether the bytes must be equal: torch and the kind of processor are those that wrote the folders."""
    written = json.loads((old / "jobs/offline/teacher/environment.json").read_text())
    here = environment(resolve_runtime(DeviceConfig(device="cpu")))
    return all(written[key] == here[key] for key in ("torch", "timm", "numpy", "device"))


def require_same_run(new: Path, old: Path, *, exact: bool) -> None:
    """Weights, logits and scores of two run folders are equal: to the byte on the machine that wrote them."""
    files = sorted(path.relative_to(old) for path in old.rglob("*.safetensors"))
    assert files
    for file in files:
        if exact:
            assert (new / file).read_bytes() == (old / file).read_bytes(), file
            continue
        ours, theirs = load_file(new / file), load_file(old / file)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            np.testing.assert_allclose(ours[name], tensor, rtol=1e-2, atol=1e-2, err_msg=name)
    ours, theirs = (json.loads((run / "scores.json").read_text()) for run in (new, old))
    for scores in (ours, theirs):
        scores.pop("role")
    assert not exact or ours == theirs


@pytest.mark.parametrize("job", ["offline", "mutual"])
def test_same_commands_make_the_same_bytes(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    """Run the commands that made the folders, in today's words."""
    monkeypatch.chdir(old)
    call(["run", "photos", "--out", str(tmp_path / job), *COMMON, *COMMANDS[job]])
    for run in RUNS[job]:
        require_same_run(tmp_path / job / run, old / "jobs" / job / run, exact=same_machine(old))
