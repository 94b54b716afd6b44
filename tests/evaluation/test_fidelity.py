"""Fidelity against plain loops and closed forms."""

import math

import numpy as np
import pytest
from scipy.special import softmax  # type: ignore[import-untyped]
from scipy.stats import entropy  # type: ignore[import-untyped]

from tutelage.errors import InputError
from tutelage.evaluation.fidelity import fidelity


@pytest.mark.parametrize(("images", "classes"), [(1, 2), (50, 10), (20, 1000)])
def test_scipy(images: int, classes: int) -> None:
    """The divergence is scipy's relative entropy of the teacher to the student."""
    random = np.random.default_rng(0)
    student, teacher = 2 * random.standard_normal((2, images, classes)).astype(np.float32)
    p, q = (softmax(logits.astype(np.float64), axis=1) for logits in (teacher, student))
    found = fidelity(student, teacher)
    assert found["kl"] == pytest.approx(entropy(p, q, axis=1).mean(), rel=1e-10)
    same = sum(a.argmax() == b.argmax() for a, b in zip(student, teacher, strict=True))
    assert found["agreement"] == same / images


def test_direction() -> None:
    """KL(teacher || student): a sure teacher and an undecided student are log 2 apart."""
    sure, undecided = [[1e4, 0.0]], [[0.0, 0.0]]
    assert fidelity(undecided, sure)["kl"] == pytest.approx(math.log(2), rel=1e-12)
    assert fidelity(sure, undecided)["kl"] == pytest.approx(5e3 - math.log(2), rel=1e-12)


def test_equal_up_to_a_constant() -> None:
    """A constant added to all logits of an image changes neither number; equality is exactly 0."""
    logits = np.random.default_rng(0).standard_normal((30, 5))
    moved = fidelity(logits + np.arange(30)[:, None], logits)
    assert moved["agreement"] == 1.0
    assert moved["kl"] == pytest.approx(0, abs=1e-12)
    assert fidelity(logits, logits) == {"agreement": 1.0, "kl": 0.0}


def test_ties_go_to_the_lower_index() -> None:
    """Two equal logits count as the lower class on both sides."""
    assert fidelity([[1.0, 1.0]], [[2.0, 0.0]])["agreement"] == 1.0
    assert fidelity([[1.0, 1.0]], [[0.0, 2.0]])["agreement"] == 0.0


@pytest.mark.parametrize(
    ("student", "teacher", "says"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"student \[2, 3\], teacher \[2, 4\]"),
        (np.zeros((2, 3)), np.zeros((1, 3)), r"student \[2, 3\], teacher \[1, 3\]"),
        (np.zeros(3), np.zeros(3), r"student \[3\]"),
        (np.zeros((0, 3)), np.zeros((0, 3)), r"student \[0, 3\]"),
        (np.zeros((1, 2)), np.full((1, 2), np.nan), "logits of the teacher"),
        (np.full((1, 2), np.inf), np.zeros((1, 2)), "logits of the student"),
    ],
)
def test_refusals(student: np.ndarray, teacher: np.ndarray, says: str) -> None:
    """Different shapes and values that are not finite are refused."""
    with pytest.raises(InputError, match=says):
        fidelity(student, teacher)
