"""Calibration against a slow version written another way, and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from tutelage.evaluation.calibration import (
    BINS,
    bin_sums,
    confidences,
    expected_calibration_error,
    reliability_bins,
)
from tutelage.evaluation.metrics import scores_of


def slow_ece(logits: list[list[float]], labels: list[int]) -> float:
    """Expected calibration error from its definition, image by image."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(logits, labels, strict=True):
        top = max(row)
        confidence = 1 / math.fsum(math.exp(value - top) for value in row)
        for index in range(15):
            if index / 15 < confidence <= (index + 1) / 15:
                members[index].append((confidence, row.index(top) == label))
    total = 0.0
    for inside in filter(None, members):
        accuracy = sum(right for _, right in inside) / len(inside)
        confidence = math.fsum(value for value, _ in inside) / len(inside)
        total += len(inside) / len(labels) * abs(accuracy - confidence)
    return total


@given(images=st.integers(1, 80), classes=st.integers(2, 12), seed=st.integers(0, 999))
@examples(60)
def test_slow_version(images: int, classes: int, seed: int) -> None:
    """The error equals a slow version that follows the definition."""
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((images, classes))
    labels = random.integers(0, classes, images)
    found = scores_of(logits, labels, [str(index) for index in range(classes)])["ece"]
    assert found == pytest.approx(slow_ece(logits.tolist(), labels.tolist()), abs=1e-12)


@pytest.mark.parametrize("classes", [3, 5, 15])
def test_upper_edge_belongs_to_the_bin(classes: int) -> None:
    """Equal logits have confidence 1 / C to the last bit, the upper edge of bin 15 / C."""
    bars = scores_of(np.zeros((4, classes)), [0] * 4, [str(i) for i in range(classes)])[
        "reliability"
    ]
    assert [bar["count"] for bar in bars].index(4) == 15 // classes - 1


def test_edges_lowest_and_highest() -> None:
    """Certainty falls into the last bin, and the faintest confidence into the first."""
    sums = bin_sums(np.array([1.0, 1e-300, 1 / 15]), np.array([True, False, False]))
    assert sums.images.tolist() == [2] + [0] * 13 + [1]
    assert sums.correct.tolist() == [0] * 14 + [1]


def test_closed_form() -> None:
    """Ten images at 0.9 with 6 right and ten at 0.6 with 6 right: (0.3 + 0) / 2."""
    confidence = np.repeat([0.9, 0.6], 10)
    correct = np.tile(np.arange(10) < 6, 2)
    sums = bin_sums(confidence, correct)
    assert expected_calibration_error(sums) == pytest.approx(0.15, rel=1e-12)
    bars = reliability_bins(sums)
    assert len(bars) == BINS
    filled = [bar for bar in bars if bar["count"]]
    assert [bar["accuracy"] for bar in filled] == [0.6, 0.6]
    assert [bar["confidence"] for bar in filled] == pytest.approx([0.6, 0.9], rel=1e-12)


def test_bars_cover_the_unit_interval() -> None:
    """The bars join without a gap from 0 to 1, and an empty one has no mean."""
    bars = reliability_bins(bin_sums(np.array([0.5]), np.array([True])))
    assert bars[0]["lower"] == 0
    assert bars[-1]["upper"] == 1
    assert all(a["upper"] == b["lower"] for a, b in pairwise(bars))
    assert bars[0]["confidence"] is None
    assert bars[0]["accuracy"] is None


def test_beliefs_sum_to_one_and_stay_finite() -> None:
    """Probabilities sum to 1 and logs are finite for logits from 1e-4 to 1e30."""
    random = np.random.default_rng(0)
    for scale in (1e-4, 1.0, 1e4, 1e30):
        logs, probabilities = confidences(scale * random.standard_normal((50, 10)))
        assert probabilities.sum(axis=1) == pytest.approx(1, rel=1e-12)
        assert np.isfinite(logs).all()
        assert np.exp(logs) == pytest.approx(probabilities, abs=1e-12)
