"""A run stopped anywhere and continued is, byte for byte, the run that was never stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tutelage.config import build
from tutelage.data.pack import Pack
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.journal import Screen
from tutelage.errors import InputError, Interrupted
from tutelage.settings import Single
from tutelage.single import Maker, Place, run_single
from tutelage.toml import read_toml

# What may differ between two equal runs.
TIMED = {"timings.json", "run.json", "job.json", "data.json", ".lock", "split.csv"}


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: it would take longer than the training."""
    monkeypatch.setattr("tutelage.finish.latency", lambda *_args, **_options: [])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run that must be the same, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {str(path.relative_to(folder)): path for path in files}
    kept = {
        n: p for n, p in names.items() if n not in TIMED and not n.startswith(("pack", "cache"))
    }
    return {name: path.read_bytes() for name, path in kept.items()}


def stopped_at_every_step(
    settings: Single, pack: Pack, place: Place, *, make: Maker | None = None
) -> int:
    """Run with a stop already asked for, again and again: each time one step is done, or the end."""
    place.stop.signal = signal.SIGINT
    for times in range(100):
        try:
            run_single(settings, pack, place, make=make)
            return times
        except Interrupted:
            pass
    raise AssertionError("it never ended")


VIEWS = {"flip": True, "shift": 2, "crop": 0.5}


@pytest.mark.parametrize(
    ("changes", "taught", "stops"),
    [
        ({"batch_size": 67}, False, 6),
        ({"ema": 0.9, "accumulate": 3, "batch_size": 25}, True, 6),
        ({"precision": "bf16", "batch_size": 67, "optimizer": "sgd", "clip": 1.0}, False, 6),
        ({"precision": "bf16", "ema": 0.5, "accumulate": 3, "batch_size": 25}, True, 6),
        ({"precision": "fp16", "batch_size": 67, "clip": 1.0}, False, 6),
        ({**VIEWS, "schedule": "cosine", "optimizer": "adamw", "batch_size": 67}, True, 6),
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
    single: Callable[..., Single],
    place: Callable[..., Place],
    teacher_folder: Path,
    changes: dict[str, Any],
    taught: bool,
    stops: int,
) -> None:
    """Weights, journal, scores and predictions are the same bytes, stopped at every step or never."""
    settings = single(**changes, teacher=(str(teacher_folder),) if taught else ())
    run_single(settings, small_pack, place("whole"))
    assert stopped_at_every_step(settings, small_pack, place("stopped")) == stops
    whole, stopped = contents(place("whole").folder), contents(place("stopped").folder)
    assert whole.keys() == stopped.keys()
    assert {"model/model.safetensors", "journal.jsonl", "scores.json"} <= whole.keys()
    assert [name for name in whole if whole[name] != stopped[name]] == []


def test_random_numbers_go_on(
    small_pack: Pack, single: Callable[..., Single], place: Callable[..., Place]
) -> None:
    """A network that draws numbers of its own, as dropout does, draws the same after each stop."""

    def make(classes: int) -> nn.Module:
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, classes)
        )

    settings = single(batch_size=67)
    run_single(settings, small_pack, place("whole"), make=make)
    assert stopped_at_every_step(settings, small_pack, place("stopped"), make=make) == 6
    assert contents(place("whole").folder) == contents(place("stopped").folder)


def test_another_run_is_not_continued(
    small_pack: Pack, single: Callable[..., Single], place: Callable[..., Place]
) -> None:
    """A checkpoint is never continued with other settings."""
    stop = StopRequest()
    stop.signal = signal.SIGINT
    with pytest.raises(Interrupted):
        run_single(single(), small_pack, place(stop=stop))
    with pytest.raises(InputError, match="other settings or inputs"):
        run_single(single(lr=0.01), small_pack, place())


def test_a_damaged_checkpoint_is_no_fresh_start(
    small_pack: Pack, single: Callable[..., Single], place: Callable[..., Place]
) -> None:
    """A damaged checkpoint stops the run by name; without it the run begins anew and ends the same."""
    stop = StopRequest()
    stop.signal = signal.SIGINT
    settings = single(epochs=1)
    with pytest.raises(Interrupted):
        run_single(settings, small_pack, place(stop=stop))
    checkpoint = place().folder / "checkpoint"
    path = checkpoint / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="damaged checkpoint"):
        run_single(settings, small_pack, place())
    for file in checkpoint.iterdir():
        file.unlink()
    run_single(settings, small_pack, place())
    run_single(settings, small_pack, place("other"))
    assert contents(place().folder) == contents(place("other").folder)


def test_interrupted_process(small_pack: Pack, tmp_path: Path) -> None:
    """Ctrl-C ends the command with 130; `tutelage resume` makes the run it would have been."""
    command = [sys.executable, "-m", "tutelage"]
    arguments = ["--model", "test_resnet", "--weights", "none", "--epochs", "15"]
    arguments += ["--batch-size", "50", "--precision", "fp32", "--device", "cpu", "--ema", "0.9"]
    out, journal = tmp_path / "out", tmp_path / "out" / "journal.jsonl"
    start = [*command, "train", str(small_pack.folder), *arguments, "--out", str(out)]
    with subprocess.Popen(start, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (journal.is_file() and journal.stat().st_size):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "nothing is lost" in said
    facts = json.loads((out / "checkpoint" / "facts.json").read_text())
    assert 0 < facts["step"] < 60
    again = subprocess.run(
        [*command, "resume", str(out)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"step {facts['step']}" in again.stderr
    settings = build(Single, read_toml(out / "config.toml"), where="")
    whole = Place(
        settings.role,
        tmp_path / "whole",
        tmp_path / "cache",
        Screen(quiet=True),
        StopRequest(),
    )
    run_single(settings, small_pack, whole)
    assert contents(out) == contents(whole.folder)
