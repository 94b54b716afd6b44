"""What is timed is what a run does: the same step, the same teacher, the same images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tutelage.commands.benchmark_step import first_batch, step_timer
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError

if TYPE_CHECKING:
    from tutelage.commands.benchmark_step import StepBenchmark


def test_a_step_trains_the_student(make_trial: Callable[..., StepBenchmark]) -> None:
    trial = make_trial()
    batch = first_batch(trial)
    assert batch.images.shape == (16, 3, 32, 32)
    for kind in ("plain", "cached", "live"):
        state = trial.state(kind)
        before = [p.detach().clone() for p in state.method.student.parameters()]
        step = step_timer(state, trial.teacher_for(kind, state), batch)
        step()
        after = list(state.method.student.parameters())
        assert state.step == 1
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True)), kind


def test_kept_answers_are_the_live_teachers(make_trial: Callable[..., StepBenchmark]) -> None:
    trial = make_trial()
    batch, state = first_batch(trial), trial.state("cached")
    kept = trial.teacher_for("cached", state)(batch).logits
    live = trial.teacher_for("live", state)(batch).logits
    torch.testing.assert_close(kept, live, rtol=1e-2, atol=1e-2)
    assert trial.teacher_for("plain", state)(batch).logits is None


def test_of_a_pack_only_some_images_are_used(
    make_trial: Callable[..., StepBenchmark], small_pack: Pack
) -> None:
    trial = make_trial(small_pack.folder)
    assert len(trial.pack.rows("train")) == 32 < len(small_pack.rows("train"))
    assert set(trial.pack.rows("train")) < set(small_pack.rows("train"))


def test_too_few_images_are_refused(
    make_trial: Callable[..., StepBenchmark], sample_folder: Path, tmp_path: Path
) -> None:
    for label in ("Bag", "Coat"):
        shutil.copytree(sample_folder / "val" / label, tmp_path / "few" / "train" / label)
    with pytest.raises(InputError, match="too few labelled images"):
        make_trial(tmp_path / "few")
