"""Trackers: what they are given is what the journal holds, and the run is the same with and without."""

import json
import random
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from support.stop_requests import AtSteps
from support.tracked import READ
from tutelage.__main__ import main
from tutelage.commands import train as verbs
from tutelage.commands.job_folder import claim_folder, inspect_folder
from tutelage.config.job import TrainConfig
from tutelage.config.schema import to_table
from tutelage.config.tracking import TrackerName
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.trackers import mlflow, registry
from tutelage.engine.trackers.confusion import draw_confusion
from tutelage.engine.trackers.registry import TRACKERS, TrackerSpec, require_trackers
from tutelage.engine.trackers.tracker import TrackedRun
from tutelage.errors import InputError, Interrupted, MachineError, UsageError

Settings = Callable[..., TrainConfig]
Place = Callable[..., RunContext]


class Recorder:
    """A tracker that keeps what it is given, and does as a bad package does where it is told to."""

    points: list[tuple[int, dict[str, float]]]
    others: list[str]
    fails = ""
    draws = False

    def start(self, run: TrackedRun) -> Collection[int]:
        self._do("start")
        type(self).others.append(f"start {run.name} {run.id}")
        return {epoch for epoch, _ in self.points}

    def where(self) -> str:
        return "here"

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._do("log")
        type(self).points.append((epoch, dict(metrics)))

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        type(self).others.append(f"summary {epoch} {metrics['scores/last/val/accuracy']}")

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:
        assert pixels.dtype == np.uint8
        type(self).others.append(f"image {name} {epoch}")

    def artifact(self, path: Path) -> None:
        type(self).others.append(f"artifact {path.name}")

    def finish(self, *, complete: bool) -> None:
        self._do("finish")
        type(self).others.append(f"finish {complete}")

    def _do(self, what: str) -> None:
        if self.fails == what:
            raise OSError(f"no {what}\nno connection")
        if self.draws:
            random.random()
            np.random.rand()
            torch.rand(1)


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """In the place of TensorBoard."""
    own = type("Recorder", (Recorder,), {"points": [], "others": []})
    monkeypatch.setitem(TRACKERS, "tensorboard", TrackerSpec("torch", own))  # type: ignore[arg-type]
    return own


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run but what is timed and what trackers keep."""
    files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    timed = ("timings.json", "incidents.jsonl", "run.json", "tracking")
    return {n: p.read_bytes() for n, p in files.items() if not n.startswith(timed)}


def test_names() -> None:
    """What the setting knows is what there is."""
    assert get_args(TrackerName) == tuple(TRACKERS)


def test_events_become_points(
    single: Settings, place: Place, small_pack: Pack, recorder: type[Recorder]
) -> None:
    """Each epoch's losses, terms, accuracies, rate and speed; then scores and the confusion matrix."""
    context = place()
    train_one(single(track=("tensorboard",)), small_pack, context)
    epochs = [e for e in read_events(context.folder / "journal.jsonl") if e["event"] == "epoch"]
    timings = json.loads((context.folder / "timings.json").read_text())["epochs"]
    assert [epoch for epoch, _ in recorder.points] == [1, 2]
    for (_, metrics), event, timed in zip(recorder.points, epochs, timings, strict=True):
        assert metrics == {
            "lr": event["lr"],
            "train/loss": event["train"]["loss"],
            "train/accuracy": event["train"]["accuracy"],
            "train/loss/label": event["train"]["terms"]["label"],
            "val/loss": event["val"]["loss"],
            "val/accuracy": event["val"]["accuracy"],
            "time/images_per_second": timed["images_per_second"],
            "time/epoch_seconds": timed["seconds"],
            "time/data_wait": timed["data_wait"],
        }
    accuracy = epochs[-1]["val"]["accuracy"]
    assert recorder.others[1:] == [f"summary 2 {accuracy}", "image confusion/val 2", "finish True"]


def test_gradient_norms(
    single: Settings, place: Place, small_pack: Pack, teacher_folder: Path, recorder: type[Recorder]
) -> None:
    """Norms are measured while an epoch is on, and shown with it."""
    settings = single(track=("tensorboard",), role="student", teacher=(str(teacher_folder),))
    train_one(settings, small_pack, place())
    for _, metrics in recorder.points:
        assert {"gradient_norm/label", "gradient_norm/kd", "train/loss/kd"} <= metrics.keys()


def test_stopped_at_every_step(
    single: Settings, place: Place, small_pack: Pack, recorder: type[Recorder]
) -> None:
    """A run that is stopped after each step is one tracked run, with each epoch once."""
    for _ in range(20):
        try:
            stopped = place(stop=AtSteps())
            train_one(single(track=("tensorboard",)), small_pack, stopped)
            break
        except Interrupted:
            assert recorder.others[-1] == "finish False"
    assert [epoch for epoch, _ in recorder.points] == [1, 2]
    assert len({one for one in recorder.others if one.startswith("start")}) == 1
    assert recorder.others[-1] == "finish True"


def test_nothing_else_changes(
    single: Settings, place: Place, small_pack: Pack, recorder: type[Recorder]
) -> None:
    """The run folder is the same with and without, whatever a tracker draws."""
    recorder.draws = True
    train_one(single(), small_pack, place("without"))
    train_one(single(track=("tensorboard",)), small_pack, place("with"))
    assert recorder.points
    assert contents(place("with").folder) == contents(place("without").folder)
    facts = [
        json.loads((place(name).folder / "run.json").read_text()) for name in ("with", "without")
    ]
    assert facts[0]["files"] == facts[1]["files"]
    assert facts[0]["fingerprint"] == facts[1]["fingerprint"]


@pytest.mark.parametrize("fails", ["start", "log", "finish"])
def test_failure_is_told_once(
    fails: str,
    single: Settings,
    place: Place,
    small_pack: Pack,
    recorder: type[Recorder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tracker that fails costs one line; the run and the other trackers go on."""
    bad = type("Bad", (Recorder,), {"points": [], "others": [], "fails": fails})
    monkeypatch.setitem(TRACKERS, "mlflow", TrackerSpec("torch", bad))  # type: ignore[arg-type]
    context, lines = place(), list[str]()
    monkeypatch.setattr(context.console, "line", lines.append)
    train_one(single(track=("mlflow", "tensorboard")), small_pack, context)
    told = [line for line in lines if "failed" in line]
    assert told == [f"run: mlflow failed and is left out, the run goes on: no {fails}"]
    assert [epoch for epoch, _ in recorder.points] == [1, 2]
    assert json.loads((context.folder / "run.json").read_text())["finished"]


def test_missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_pack: Pack) -> None:
    """A package that is not there is named before anything is done, with what installs it."""
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    for name in TRACKERS:
        with pytest.raises(MachineError, match=f"--track {name} needs") as caught:
            require_trackers([name])
        assert f'pip install "tutelage[{name}]"' in str(caught.value)
    settings = TrainConfig(model="test_resnet", weights="none", device="cpu", track=("mlflow",))
    with pytest.raises(MachineError, match="needs the package mlflow"):
        verbs.train(small_pack.folder, settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.medium
def test_job(
    small_pack: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each run of a job is tracked under its name, and the report as one more; verify looks past them."""
    out = tmp_path / "job"
    command = ["tutelage", "run", str(small_pack.folder), "--out", str(out), "--quiet"]
    command += ["--device", "cpu", "--precision", "fp32", "--skip-teacher-check"]
    for network in ("teacher", "student"):
        flags = {"model": "test_resnet", "weights": "none", "epochs": "1", "batch-size": "100"}
        command += [part for key, value in flags.items() for part in (f"--{network}.{key}", value)]
    monkeypatch.setattr("sys.argv", [*command, "--track", "tensorboard"])
    assert main() == 0, capsys.readouterr().err
    runs = READ["tensorboard"](out / "tracking")
    assert runs.keys() == {"teacher", "student-0", "control-0", "report"}
    assert len(runs["student-0"].points["train/loss/kd"]) == 1
    monkeypatch.setattr("sys.argv", command)
    assert main() == 0, capsys.readouterr().err
    (out / "tracking" / "cell.json").write_text('{"objective": 1}')
    monkeypatch.setattr("sys.argv", ["tutelage", "verify", str(out)])
    assert main() == 0, capsys.readouterr().err


def test_tracking_may_change(tmp_path: Path, single: Settings) -> None:
    """A job is continued with other trackers, and with nothing else that differs."""
    job: dict[str, Any] = {"facts": {"verb": "train"}, "resume": True}
    out = tmp_path / "out"
    claim_folder(out, settings=to_table(single()), **job)
    tracked = to_table(single(track=("mlflow", "wandb"), track_project="mine"))
    assert inspect_folder(out, settings=tracked, **job) == "continue"
    with pytest.raises(UsageError, match="other settings"):
        inspect_folder(out, settings=to_table(single(epochs=9)), **job)


def test_strangers_folder(tmp_path: Path, single: Settings) -> None:
    """A folder from elsewhere does not choose where on this machine trackers write."""
    out = tmp_path / "a" / "out"
    settings = to_table(single(track_dir=str(tmp_path / "elsewhere")))
    facts = {"verb": "train", "data": "sample", "networks": []}
    claim_folder(out, settings=settings, facts=facts, resume=False)
    with pytest.raises(UsageError, match="--track-dir"):
        verbs.resume(out)
    local = tmp_path / "mlflow-artifacts"
    mlflow._require_below(local, f"{local.as_uri()}/1/artifacts")
    with pytest.raises(InputError, match="in another folder"):
        mlflow._require_below(local, "file:///etc")


def test_confusion_matrix() -> None:
    """Any number of classes, with any names, is an image; an empty row is white."""
    for count in (2, 40, 200):
        names = ["$x$", *("ü" for _ in range(count - 1))]
        pixels = draw_confusion(np.eye(count, dtype=int).tolist(), names)
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
