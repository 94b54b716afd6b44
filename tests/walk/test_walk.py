"""The walk: from image files to report, predictions and a reloaded student, through the command line."""

import csv
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from safetensors.numpy import load_file
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

import tutelage

SMALL = [
    "--teacher.model", "test_resnet", "--teacher.weights", "none", "--teacher.epochs", "3",
    "--teacher.batch-size", "40", "--student.model", "test_resnet", "--student.weights", "none",
    "--student.epochs", "2", "--student.batch-size", "40", "--data.image-size", "32", "--seeds", "1",
]  # fmt: skip


def digest(folder: Path) -> str:
    """One hash over every file of a folder: name and bytes."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def job(images: Path, tutelage_command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole job of a small folder, once for all tests here."""
    out, before = tmp_path_factory.mktemp("runs") / "job", digest(images)
    answer = tutelage_command("run", images, "--out", out, *SMALL)
    assert answer.returncode == 0, answer.stderr
    assert "report.html" in answer.stdout
    assert "1 unreadable" in answer.stderr
    assert digest(images) == before, "the user's folder was written"
    return out


def test_job_leaves_every_artefact(job: Path) -> None:
    """Each arrow of the walk has left its file, and nothing half-done is left."""
    for name in ("config.toml", "split.csv", "data.json", "plan.json", "pack/manifest.json"):
        assert (job / name).is_file(), name
    for run in ("teacher", "student-0", "control-0"):
        for name in ("config.toml", "environment.json", "journal.jsonl", "timings.json",
                     "scores.json", "run.json", "model/model.safetensors", "model/README.md",
                     "model-best/config.json", "predictions/test.csv"):  # fmt: skip
            assert (job / run / name).is_file(), f"{run}/{name}"
        assert not (job / run / "checkpoint").exists()
    for name in ("report.html", "report.md", "scores.json", "runs.csv"):
        assert (job / "report" / name).is_file(), name
    assert not list(job.rglob("*.part")) + list(job.rglob("*.old"))
    with (job / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 * 60 + 30
    assert {row["class"] for row in rows if row["split"] == "test"} == {""}


def test_scores_are_what_scikit_learn_says(job: Path) -> None:
    """The numbers of the report are recomputed from the per-image predictions."""
    told = json.loads((job / "report" / "scores.json").read_text())["runs"]
    for run in ("teacher", "student-0", "control-0"):
        kept = load_file(job / run / "predictions" / "val.safetensors")
        labels, logits = kept["labels"], kept["logits"].astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        metrics = told[run]["last"]["val"]
        found = logits.argmax(1)
        assert metrics["images"] == len(labels) == 200
        assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, found))
        assert metrics["macro_f1"] == pytest.approx(
            f1_score(labels, found, average="macro", labels=range(10), zero_division=0)
        )
        assert metrics["nll"] == pytest.approx(log_loss(labels, shares, labels=range(10)), rel=1e-6)
        assert metrics["confusion"] == confusion_matrix(labels, found, labels=range(10)).tolist()


def test_same_command_returns_at_once(job: Path, images: Path, tutelage_command: Callable) -> None:
    """Typed again, the job is found done and no file of it changes."""
    before = digest(job)
    answer = tutelage_command("run", images, "--out", job, *SMALL)
    assert answer.returncode == 0, answer.stderr
    assert "epoch" not in answer.stderr
    assert digest(job) == before


def test_other_settings_are_refused(job: Path, images: Path, tutelage_command: Callable) -> None:
    """A finished folder is never written over; the setting that differs is named."""
    answer = tutelage_command("run", images, "--out", job, *SMALL, "--temperature", "2")
    assert answer.returncode == 2
    assert "losses.kd.temperature: 4.0 there, 2.0 here" in answer.stderr


def decide_alike(job: Path, folder: Path) -> None:
    """Jobs in a folder take the precision that another job's clock has decided for."""
    decided = job.parent / "teacher-cache" / "precision.json"
    if decided.is_file():  # a processor without bf16 has nothing to decide
        (folder / "teacher-cache").mkdir()
        shutil.copy(decided, folder / "teacher-cache")


def test_equal_runs_are_equal_to_the_byte(
    job: Path, images: Path, tutelage_command: Callable, tmp_path: Path
) -> None:
    """Same command, same machine, same bytes, but for wall-clock figures and what was decided by them."""
    again = tmp_path / "again"
    decide_alike(job, tmp_path)
    answer = tutelage_command("run", images, "--out", again, *SMALL)
    assert answer.returncode == 0, answer.stderr
    for path in sorted(job.rglob("*")):
        name = path.relative_to(job)
        if (
            path.is_file()
            and name.name not in ("timings.json", ".lock")
            and "report" not in name.parts
        ):
            assert (again / name).read_bytes() == path.read_bytes(), name


def test_interrupted_job_is_resumed(
    job: Path, images: Path, tutelage_command: Callable, tmp_path: Path
) -> None:
    """Ctrl-C leaves a folder that `tutelage resume` finishes, with the same students."""
    out = tmp_path / "cut"
    decide_alike(job, tmp_path)
    words = [sys.executable, "-m", "tutelage", "run", str(images), "--out", str(out), *SMALL]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    journal = out / "teacher" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    refused = tutelage_command("run", images, "--out", out, *SMALL)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    answer = tutelage_command("resume", out)
    assert answer.returncode == 0, answer.stderr
    for run in ("teacher", "student-0", "control-0"):
        for name in ("scores.json", "journal.jsonl", "model/model.safetensors"):
            assert (out / run / name).read_bytes() == (job / run / name).read_bytes(), name


def test_student_loads_without_us(job: Path) -> None:
    """The student loads with timm alone: class names, preprocessing and logits are there."""
    folder = job / "student-0" / "model"
    student = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert student.pretrained_cfg["num_classes"] == 10
    facts = json.loads((folder / "config.json").read_text())
    assert len(facts["label_names"]) == 10
    own = tutelage.load(job / "student-0")
    assert list(own.classes) == facts["label_names"]
    mean, std = (torch.tensor(student.pretrained_cfg[k]).view(3, 1, 1) for k in ("mean", "std"))
    batch_images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(
            student((batch_images / 255 - mean) / std), own(batch_images), atol=1e-5
        )


def test_predict_writes_a_table(
    job: Path, images: Path, tutelage_command: Callable, tmp_path: Path
) -> None:
    """A folder is classified into a CSV; unreadable files are listed and not fatal."""
    out = tmp_path / "predictions.csv"
    answer = tutelage_command("predict", job / "student-0", images / "train", "--out", out)
    assert answer.returncode == 0, answer.stderr
    assert "Bag/broken.png" in answer.stderr
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert set(rows[0]) == {
        "file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3",
    }  # fmt: skip
    assert all(float(row["probability"]) >= float(row["probability_2"]) for row in rows)


def test_export_runs_in_onnxruntime(
    job: Path, images: Path, tutelage_command: Callable, tmp_path: Path
) -> None:
    """The exported file classifies the test images as the run's own predictions say."""
    out = tmp_path / "student.onnx"
    answer = tutelage_command(
        "export", job / "student-0", "--format", "onnx", "--out", out, "--data", images
    )
    assert answer.returncode == 0, answer.stderr
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert len(json.loads(session.get_modelmeta().custom_metadata_map["classes"])) == 10
    images = np.fromfile(job / "pack" / "images.bin", np.uint8).reshape(-1, 32, 32, 3)
    kept = load_file(job / "student-0" / "predictions" / "test.safetensors")
    pixels = images[kept["ids"]].transpose(0, 3, 1, 2)
    found = session.run(None, {"pixels": np.ascontiguousarray(pixels)})[0]
    assert found.shape == kept["logits"].shape
    assert np.abs(found - kept["logits"]).max() < 1e-3 * kept["logits"].std()


def test_single_verbs(images: Path, tutelage_command: Callable, tmp_path: Path) -> None:
    """check, pack, train, distill, evaluate, compare: the job's steps one by one."""
    small = ["--model", "test_resnet", "--weights", "none", "--epochs", "1", "--batch-size", "40"]
    told = tutelage_command("check", images, "--data.image-size", "32")
    assert told.returncode == 0, told.stderr
    assert "broken.png" in told.stdout
    pack = tmp_path / "pack"
    packed = tutelage_command("pack", images, "--out", pack, "--data.image-size", "32")
    assert packed.returncode == 0, packed.stderr
    train = tutelage_command("train", pack, "--out", tmp_path / "t", "--role", "teacher", *small)
    assert train.returncode == 0, train.stderr
    taught = tutelage_command(
        "distill", pack, "--teacher", tmp_path / "t", "--out", tmp_path / "s", *small
    )
    assert taught.returncode == 0, taught.stderr
    measured = tutelage_command("evaluate", tmp_path / "s", pack)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert json.loads(measured.stdout)["confusion"] == scores["last"]["val"]["confusion"]
    table = tutelage_command("compare", tmp_path / "t", tmp_path / "s")
    assert table.returncode == 0, table.stderr
    assert "teacher" in table.stdout
