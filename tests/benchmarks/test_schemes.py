"""benchmarks/schemes.py measures every method in the steps of a run; its figures mean nothing here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tutelage.methods.registry import METHODS

if TYPE_CHECKING:
    from tutelage.commands.benchmark_step import StepBenchmark

pytestmark = pytest.mark.usefixtures("benchmarks")

TINY = "--student test_resnet --teacher test_resnet --name tiny"
SMALL = "--images 16 --size 32 --batch 8 --rounds 2 --device cpu"


def test_every_method_beside_plain_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import schemes

    monkeypatch.setattr("result.RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks/schemes.py", *TINY.split(), *SMALL.split()])
    schemes.main()
    facts = json.loads((tmp_path / "tiny.json").read_text())
    found = facts["methods"]
    assert (list(found), facts["without"]) == (list(METHODS), {})
    assert found["multi-teacher"]["teachers"] == ["test_resnet", "resnet18", "resnet26"]
    assert found["rco"]["teachers"] == ["test_resnet"] * 4
    assert found["assistants"]["teachers"] == ["resnet26"]
    assert found["specialists"]["teachers"] == ["test_resnet"] * 4, "a generalist and three"
    assert found["dml"]["teachers"] == []
    # Two of the student's network, with an optimizer for both; an answer kept costs nothing that stays.
    assert found["dml"]["stays"] == found["joint"]["stays"] == 2
    assert found["offline"]["stays"] == found["multi-teacher"]["stays"] == 1
    assert found["dml"]["memory"] > 1.5
    assert all(one["time"]["rounds"] == 2 and one["time"]["low"] > 0 for one in found.values())
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["benchmarks/schemes.py", "--table", "--name", "tiny"])
    schemes.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(METHODS)
    assert all(row.count("|") == 5 for row in rows)


def test_the_past_teaches_in_every_step(make_trial: Callable[..., StepBenchmark]) -> None:
    import schemes
    import taught

    trial = make_trial()
    past = schemes.class_of(trial, "ps-kd")
    stepping = taught.steps(past, trial.loader(), epochs=schemes.EPOCHS)
    for number in range(3):
        progress = next(stepping)
        assert progress.step == number
        assert past.state.method.weights_at(progress)["kd"] > 0
    assert progress.epoch == 2, "each of the two batches once in the epoch before"
    assert past.state.method.said.abs().sum(1).gt(0).all()


def test_what_stays_is_counted_once(make_trial: Callable[..., StepBenchmark]) -> None:
    import schemes
    import taught

    trial = make_trial()
    momentum = schemes.class_of(trial, "mean-teacher")
    network = momentum.state.method.student
    weights = sum(p.nbytes for p in network.parameters())
    whole = weights + sum(b.nbytes for b in network.buffers())
    assert taught.staying_bytes(momentum.state) == 2 * whole
    next(taught.steps(momentum, trial.loader(), epochs=2))
    counts = 4 * len(list(network.parameters()))
    assert taught.staying_bytes(momentum.state) == 2 * whole + 2 * weights + counts, "Adam's"


def test_the_table_is_as_its_example_says() -> None:
    import doctest

    import schemes

    assert doctest.testmod(schemes) == (0, 3)
