"""Two processes do what one does, and neither waits for a dead one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ONE = [sys.executable, "-m", "tutelage"]
TWO = [*TORCHRUN, "-m", "tutelage"]

SETTINGS = [
    "--device",
    "cpu",
    "--precision",
    "fp32",
    "--data.image-size",
    "32",
    "--skip-teacher-check",
]
SGD = ["optimizer sgd", "lr 0.001", "batch-size 33"]


def job(images: Path, out: Path) -> list[str]:
    """A small whole job; plain SGD and smooth activations, because Adam turns rounding noise into whole
    steps, and where a ReLU flips by a last bit two equal runs part within ten steps.
    """
    words = ["run", str(images), "--out", str(out), *SETTINGS]
    for who, epochs in (("teacher", 2), ("student", 2)):
        words += [f"--{who}.model", "test_efficientnet", f"--{who}.weights", "none"]
        words += [f"--{who}.epochs", str(epochs)]
        for setting in SGD:
            name, value = setting.split()
            words += [f"--{who}.{name}", value]
    # Views, a mixture of images, and an accumulated batch: everything that could depend on who does what.
    return [*words, "--student.flip", "--student.mixup", "0.5", "--student.grad-accum-steps", "2"]


def ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def both(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same job by one process and by two."""
    root = tmp_path_factory.mktemp("processes")
    folders = root / "one" / "job", root / "two" / "job"
    for out, command in zip(folders, (ONE, TWO), strict=True):
        answer = ran([*command, *job(images, out)])
        assert answer.returncode == 0, answer.stderr
        # Told once, by the first process.
        assert answer.stdout.count("report: ") == 1
        assert answer.stderr.count("student-0: epoch 2/2") == 1
    return folders


def test_same_pack(both: tuple[Path, Path]) -> None:
    """Two processes pack the same bytes, the unreadable file in the middle included."""
    one, two = (folder / "pack" for folder in both)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize("run", ["teacher", "student-0", "control-0"])
def test_same_network(both: tuple[Path, Path], run: str) -> None:
    """Gradients, BatchNorm statistics and running averages are those of the whole batch: after all
    steps both networks answer the same.
    """
    one, two = (load_file(folder / run / "predictions" / "val.safetensors") for folder in both)
    assert one["ids"].tolist() == two["ids"].tolist()
    spread = float(one["logits"].std())
    np.testing.assert_allclose(two["logits"], one["logits"], rtol=0, atol=0.05 * spread)


@pytest.mark.parametrize("run", ["teacher", "student-0", "control-0"])
def test_same_figures(both: tuple[Path, Path], run: str) -> None:
    """Losses and accuracies of every epoch, over splits that two do not divide."""
    journals = []
    for folder in both:
        lines = (folder / run / "journal.jsonl").read_text().splitlines()
        journals.append([json.loads(line) for line in lines])
    assert [event["processes"] for event in (journals[0][0], journals[1][0])] == [1, 2]
    for expected, found in zip(journals[0], journals[1], strict=True):
        if expected["event"] != "epoch":
            continue
        assert found["train"]["images"] == expected["train"]["images"]
        assert found["train"]["loss"] == pytest.approx(expected["train"]["loss"], rel=1e-3)
        assert found["val"]["loss"] == pytest.approx(expected["val"]["loss"], rel=1e-2)
        assert found["val"]["accuracy"] == pytest.approx(expected["val"]["accuracy"], abs=0.011)


def test_same_answers_of_the_teacher(both: tuple[Path, Path]) -> None:
    """The pass over the images is shared: as many answers, each about the same image and view."""
    keys = []
    for folder in both:
        (cache,) = (folder.parent / "teacher-cache").iterdir()
        index = np.fromfile(cache / "index.bin", np.dtype("<i8,<i4,<f4,<u4"))
        keys.append(sorted(zip(index["f0"].tolist(), index["f1"].tolist(), strict=True)))
    assert keys[0] == keys[1]


def test_wrong_command_is_told_once(images: Path, tmp_path: Path) -> None:
    """A mistake ends all processes, with one message of ours."""
    answer = ran([*TWO, "train", str(images), "--out", str(tmp_path / "x"), "--model", "resnt18"])
    assert answer.returncode != 0
    assert answer.stderr.count("did you mean") == 1


def workers(launcher: int) -> list[int]:
    """The processes that torchrun started, by rank."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (path / "stat").is_file():
            try:
                parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
                environment = (path / "environ").read_bytes().decode()
            except (OSError, ProcessLookupError):
                continue
            if parent == launcher and (rank := re.search(r"\0RANK=(\d+)\0", environment)):
                found[int(rank[1])] = int(path.name)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes in /proc")
@pytest.mark.parametrize(("rank", "number"), [(1, signal.SIGKILL), (0, signal.SIGKILL)])
def test_dead_peer(images: Path, tmp_path: Path, rank: int, number: int) -> None:
    """A process that dies ends the run within 30 seconds, and the folder can be continued by one."""
    out = tmp_path / "out"
    words = ["train", str(images), "--out", str(out), *SETTINGS, "--model", "test_resnet"]
    words += ["--weights", "none", "--epochs", "40", "--role", "control"]
    journal = out / "journal.jsonl"
    with subprocess.Popen([*TWO, *words], stderr=subprocess.PIPE, text=True) as launcher:
        while launcher.poll() is None and not (
            journal.is_file() and b"epoch" in journal.read_bytes()
        ):
            time.sleep(0.05)
        victims = workers(launcher.pid)
        assert len(victims) == 2
        begin = time.monotonic()
        os.kill(victims[rank], number)
        _, said = launcher.communicate(timeout=60)
        seconds = time.monotonic() - begin
    assert launcher.returncode != 0
    assert seconds < 30, said
    if rank == 1:
        assert "another process of this run has ended" in said
        assert "--resume" in said
    answer = ran([*ONE, *words, "--resume"])
    assert answer.returncode == 0, answer.stderr
    assert json.loads((out / "run.json").read_text())["finished"]
