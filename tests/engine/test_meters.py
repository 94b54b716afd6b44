"""Sums of an epoch: means by images, accuracy over labels, exact state, what is not finite."""

import json

import pytest
import torch

from tutelage.engine.train.meters import LossMeters
from tutelage.types import LossOutput

CPU = torch.device("cpu")
ONE = {"label": 1.0}
BOTH = {"label": 1.0, "kd": 1.0}


def outcome(labels: list[int], predicted: list[int], **terms: float) -> LossOutput:
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), 3).float()
    values = {name: torch.tensor(value) for name, value in terms.items()}
    return LossOutput(logits, torch.tensor(labels), values)


def test_means() -> None:
    """Terms and loss are means over images, whatever the batches' sizes; accuracy over labels."""
    sums = LossMeters(["label", "kd"], CPU)
    halved = {"label": 1.0, "kd": 0.5}
    sums.add(outcome([0, 1, 2], [0, 1, 0], label=1.0, kd=4.0), torch.tensor(3.0), halved)
    sums.add(outcome([-1], [0], label=0.0, kd=8.0), torch.tensor(4.0), halved)
    assert sums.read() == {
        "images": 4,
        "loss": 3.25,
        "terms": {"label": 0.75, "kd": 5.0},
        "shares": {"label": 0.75 / 3.25, "kd": 2.5 / 3.25},
        "accuracy": 2 / 3,
    }


def test_nothing_yet() -> None:
    """Before the first batch, and without a label, there is no accuracy."""
    sums = LossMeters(["label"], CPU)
    nothing = {"terms": {"label": 0.0}, "shares": {"label": 0.0}, "accuracy": None}
    assert sums.read() == {"images": 0, "loss": 0.0, **nothing}
    sums.add(outcome([-1, -1], [0, 0], label=0.0), torch.tensor(0.0), ONE)
    assert sums.read()["accuracy"] is None


def test_state() -> None:
    """Saved as JSON and put back, sums go on to the same last bit."""
    sums, again = LossMeters(["label"], CPU), LossMeters(["label"], CPU)
    for value in (0.1, 1 / 3, 1e-9):
        sums.add(outcome([0], [0], label=value), torch.tensor(value), ONE)
    again.restore(json.loads(json.dumps(sums.state())))
    for one in (sums, again):
        one.add(outcome([0, 1], [0, 0], label=0.7), torch.tensor(0.7), ONE)
    assert again.read() == sums.read()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_not_finite(bad: float) -> None:
    """A batch with a term that is not finite counts nowhere: neither its images nor its right answers."""
    sums, without = LossMeters(["label", "kd"], CPU), LossMeters(["label", "kd"], CPU)
    sums.add(outcome([0], [0], label=1.0, kd=bad), torch.tensor(1.0), BOTH)
    for one in (sums, without):
        one.add(outcome([0], [1], label=1.0, kd=1.0), torch.tensor(1.0), BOTH)
    assert sums.read() == without.read()
    assert sums.read()["images"] == 1


def test_total_not_finite() -> None:
    """Nor does one whose weighted sum alone is not finite."""
    sums = LossMeters(["label"], CPU)
    sums.add(outcome([0], [0], label=3e38), torch.tensor(float("inf")), ONE)
    assert sums.read()["images"] == 0
