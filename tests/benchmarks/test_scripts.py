"""The scripts of benchmarks/ work, on tiny networks and a processor; their figures mean nothing here."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tutelage import recipe
from tutelage.config.data import DataConfig

if TYPE_CHECKING:
    from tutelage.commands.benchmark_step import StepBenchmark

pytestmark = pytest.mark.usefixtures("benchmarks")


def test_whole_epochs_beside_as_many_bare_steps(make_trial: Callable[..., StepBenchmark]) -> None:
    import steps

    trial = make_trial()
    state = trial.state("cached")
    found = steps.whole_epochs(trial, "cached", 3, state)
    assert found["ratio"]["rounds"] == 3
    assert found["images_per_second"] > 0
    assert state.epoch == 4
    assert state.step == 4 * (2 + 2), "in each of 3 + 1 rounds an epoch of 2 steps and 2 bare ones"


def test_rows_of_a_gpu_on_a_processor(make_trial: Callable[..., StepBenchmark]) -> None:
    import gpu

    left_alone: list[object] = []
    found = gpu.step_rows(make_trial(), left_alone.append, windows=2, window=2, epochs=2)
    assert len(left_alone) == 2, "both students are compiled"
    rows = gpu.told({**found, "recipe": {"seconds": 100.0}})
    assert all(rows[number]["found"] > 0 for number in gpu.ROWS)
    assert gpu.told({"recipe": {"failed": "no time"}})["13"]["found"] is None


def test_recipe_of_a_gpu_on_a_processor(tmp_path: Path) -> None:
    import gpu

    job = recipe("resnet34-resnet18")
    small = {"model": "test_resnet", "weights": "none", "epochs": 1, "batch_size": 16}
    job = dataclasses.replace(
        job,
        device="cpu",
        precision="fp32",
        skip_teacher_check=True,
        data=DataConfig(image_size=32, splits="redraw", split=(40, 20, 20)),
        teacher=dataclasses.replace(job.teacher, **small),
        student=dataclasses.replace(job.student, **small),
    )
    found = gpu.recipe(tmp_path, job, limit=200)
    assert found["seconds"] > found["pack_seconds"] + found["student_seconds"]
    assert 0 <= found["student_accuracy"] <= 1
    assert found["teacher_weights"] == "none"
    assert len(list((tmp_path / "photos").rglob("*.jpg"))) == 80


def test_without_a_gpu_the_script_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gpu
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as caught:
        gpu.main()
    assert caught.value.code == 5
    assert "no GPU can be used here" in capsys.readouterr().err


TINY = ["--student", "test_resnet", "--teacher", "test_resnet", "--name", "tiny"]
SCRIPTS = {
    "steps": "--sizes 32 --batch 8 --rounds 2 --epochs 2 --steps 2 --precision fp32",
    "whole_job": "--images 24 --rounds 1 --steps 2 --size 32 --batch 8",
    "second_student": "--train 40 --val 20 --epochs 1 --teacher-epochs 1 --rounds 1",
    "teachers": "--images 16 --size 32 --batch 8 --rounds 2 --device cpu",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_writes_its_figures(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    module = importlib.import_module(script)
    monkeypatch.setattr("result.RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{script}.py", *SCRIPTS[script].split(), *TINY])
    module.main()
    facts = json.loads((tmp_path / "tiny.json").read_text())
    assert facts["command"].startswith(f"python benchmarks/{script}.py")
    found = {
        "steps": lambda: facts["32 px"]["steps"]["cached"]["ratio"]["median"],
        "whole_job": lambda: facts["ratio"],
        "second_student": lambda: facts["ratio"]["median"],
        "teachers": lambda: facts["steps"]["4 divergences"]["beside_one"]["median"],
    }[script]()
    assert found > 0


def test_startup_times_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import startup

    monkeypatch.setattr("result.RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks/startup.py", "--rounds", "1"])
    startup.main()
    seconds = json.loads((tmp_path / "startup.json").read_text())["seconds"]
    assert seconds["help"]["median"] > seconds["python"]["median"]
