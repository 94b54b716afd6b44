"""A run stopped anywhere and continued is, byte for byte, the run that was never stopped."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from support.stop_requests import AtSteps
from tutelage.commands.train import train
from tutelage.config.job import TrainConfig
from tutelage.config.schema import build
from tutelage.config.toml import read_toml
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.teachers import NetworkFactory
from tutelage.engine.train.step import train_step
from tutelage.errors import InputError, Interrupted

# What may differ between two equal runs.
TIMED = {
    "timings.json",
    "incidents.jsonl",
    "run.json",
    "job.json",
    "data.json",
    ".lock",
    "split.csv",
}


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: it would take longer than the training."""
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run that must be the same, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {str(path.relative_to(folder)): path for path in files}
    kept = {
        n: p for n, p in names.items() if n not in TIMED and not n.startswith(("pack", "cache"))
    }
    return {name: path.read_bytes() for name, path in kept.items()}


def stopped_at_every_step(
    settings: TrainConfig, pack: Pack, place: RunContext, *, make: NetworkFactory | None = None
) -> int:
    """Run again and again, asked to stop after each step: each time one step is done, or the end."""
    for times in range(100):
        try:
            train_one(settings, pack, place._replace(stop=AtSteps()), network=make)
            return times
        except Interrupted:
            pass
    raise AssertionError("it never ended")


VIEWS = {"flip": True, "translate": 2, "crop_scale": 0.5}


@pytest.mark.parametrize(
    ("changes", "taught", "stops"),
    [
        ({"batch_size": 67}, False, 7),
        ({"ema_decay": 0.9, "grad_accum_steps": 3, "batch_size": 25}, True, 7),
        ({"precision": "bf16", "batch_size": 67, "optimizer": "sgd", "clip_grad": 1.0}, False, 7),
        ({"precision": "bf16", "ema_decay": 0.5, "grad_accum_steps": 3, "batch_size": 25}, True, 7),
        ({"precision": "fp16", "batch_size": 67, "clip_grad": 1.0}, False, 7),
        ({**VIEWS, "schedule": "cosine", "optimizer": "adamw", "batch_size": 67}, True, 7),
    ],
    ids=[
        "fp32",
        "fp32 average accumulated",
        "bf16 sgd",
        "bf16 average accumulated",
        "fp16",
        "views",
    ],
)
def test_stopped_at_every_step(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    teacher_folder: Path,
    changes: dict[str, Any],
    taught: bool,
    stops: int,
) -> None:
    """Weights, journal, scores and predictions are the same bytes, stopped at every step or never."""
    settings = single(**changes, teacher=(str(teacher_folder),) if taught else ())
    train_one(settings, small_pack, place("whole"))
    assert stopped_at_every_step(settings, small_pack, place("stopped")) == stops
    whole, stopped = contents(place("whole").folder), contents(place("stopped").folder)
    assert whole.keys() == stopped.keys()
    assert {"model/model.safetensors", "journal.jsonl", "scores.json"} <= whole.keys()
    assert [name for name in whole if whole[name] != stopped[name]] == []


def test_random_numbers_go_on(
    small_pack: Pack, single: Callable[..., TrainConfig], place: Callable[..., RunContext]
) -> None:
    """A network that draws numbers of its own, as dropout does, draws the same after each stop."""

    def make(classes: int) -> nn.Module:
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, classes)
        )

    settings = single(batch_size=67)
    train_one(settings, small_pack, place("whole"), network=make)
    assert stopped_at_every_step(settings, small_pack, place("stopped"), make=make) == 7
    assert contents(place("whole").folder) == contents(place("stopped").folder)


def test_another_run_is_not_continued(
    small_pack: Pack, single: Callable[..., TrainConfig], place: Callable[..., RunContext]
) -> None:
    """A checkpoint is never continued with other settings."""
    begun(single(), small_pack, place())
    with pytest.raises(InputError, match="other settings or inputs") as caught:
        train_one(single(lr=0.01), small_pack, place())
    assert "settings: " in str(caught.value)
    assert "pack: " not in str(caught.value)


def begun(settings: TrainConfig, pack: Pack, place: RunContext, *, steps: int = 1) -> list[Path]:
    """Stop a run after so many steps, saving after each; its checkpoints, the newest first."""
    stop = StopRequest()
    count = itertools.count(1)

    def train_and_ask(*arguments: Any, **options: Any) -> Any:
        learned = train_step(*arguments, **options)
        if next(count) == steps:
            stop.signal = signal.SIGINT
        return learned

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.train.loop.train_step", train_and_ask)
        patch.setattr("tutelage.engine.train.loop.CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(Interrupted):
            train_one(settings, pack, place._replace(stop=stop))
    return sorted((place.folder / "checkpoints").iterdir(), reverse=True)


def damage(checkpoint: Path) -> None:
    """Change one byte of a checkpoint."""
    path = checkpoint / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_two_checkpoints_are_kept(
    small_pack: Pack, single: Callable[..., TrainConfig], place: Callable[..., RunContext]
) -> None:
    """Older ones go, a finished run keeps none, and what the run did not write is left alone."""
    folder = place().folder / "checkpoints"
    kept = begun(single(), small_pack, place(), steps=4)
    assert [path.name for path in kept] == ["step-00000004", "step-00000003"]
    (folder / "step-00000003" / "mine.txt").write_text("x")
    (folder / "notes").mkdir()
    train_one(single(), small_pack, place())
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert left == ["notes", "step-00000003", "step-00000003/mine.txt"]


def test_a_damaged_checkpoint_is_no_fresh_start(
    small_pack: Pack, single: Callable[..., TrainConfig], place: Callable[..., RunContext]
) -> None:
    """The newest whole checkpoint is continued and the refused one named; none whole is an error."""
    train_one(single(), small_pack, place("whole"))
    newest, _ = begun(single(), small_pack, place(), steps=3)
    damage(newest)
    train_one(single(), small_pack, place())
    assert contents(place().folder) == contents(place("whole").folder)
    noted = (place().folder / "incidents.jsonl").read_text()
    assert "step-00000003: a checkpoint that is damaged" in noted
    assert '"event": "continued", "epoch": 1, "step": 2}' in noted

    checkpoints = begun(single(), small_pack, place("other"), steps=3)
    for checkpoint in checkpoints:
        damage(checkpoint)
    with pytest.raises(InputError, match="no checkpoint of this run is whole") as caught:
        train_one(single(), small_pack, place("other"))
    assert all(checkpoint.name in str(caught.value) for checkpoint in checkpoints)
    shutil.rmtree(place("other").folder / "checkpoints")
    train_one(single(), small_pack, place("other"))
    assert contents(place("other").folder) == contents(place("whole").folder)


def test_interrupted_process(small_pack: Pack, tmp_path: Path) -> None:
    """Ctrl-C ends the command with 130; `tutelage resume` makes the run it would have been."""
    command = [sys.executable, "-m", "tutelage"]
    arguments = ["--model", "test_resnet", "--weights", "none", "--epochs", "15"]
    arguments += [
        "--batch-size",
        "50",
        "--precision",
        "fp32",
        "--device",
        "cpu",
        "--ema-decay",
        "0.9",
    ]
    out, journal = tmp_path / "out", tmp_path / "out" / "journal.jsonl"
    start = [*command, "train", str(small_pack.folder), *arguments, "--out", str(out)]
    with subprocess.Popen(start, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (journal.is_file() and journal.stat().st_size):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "nothing is lost" in said
    newest = max((out / "checkpoints").iterdir())
    facts = json.loads((newest / "facts.json").read_text())
    assert 0 < facts["step"] < 60
    again = subprocess.run(
        [*command, "resume", str(out)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"step {facts['step']}" in again.stderr
    settings = build(TrainConfig, read_toml(out / "config.toml"), where="")
    whole = train(small_pack.folder, settings, out=tmp_path / "whole", quiet=True)
    assert contents(out) == contents(whole)
