"""Metrics against scikit-learn, closed forms, and themselves under every split into parts."""

import json
import math
from functools import reduce

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax  # type: ignore[import-untyped]
from scipy.stats import binomtest  # type: ignore[import-untyped]
from sklearn.metrics import (  # type: ignore[import-untyped]
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from support.examples import examples
from tutelage.errors import InputError
from tutelage.evaluation.metrics import ROWS, Metrics, metrics_from_sums, scores_of, wilson
from tutelage.evaluation.sums import add_counts, count_matrix
from tutelage.storage.scores import measured_classes

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def made(images: int, classes: int, *, seed: int = 0, spread: float = 2.0) -> tuple[Logits, Labels]:
    """Logits that know something of the labels; with few images some classes are absent."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    logits = spread * random.standard_normal((images, classes))
    logits[np.arange(images), labels] += spread
    return logits.astype(np.float32), labels


def named(classes: int) -> list[str]:
    return [f"class {index}" for index in range(classes)]


def close(a: Metrics, b: Metrics) -> None:
    """Equal counts, and floats equal to the rounding of a float64 sum."""
    for key, value in a.items():
        if key in ("nll", "brier", "ece"):
            assert value == pytest.approx(b[key], rel=1e-12, abs=1e-12)  # type: ignore[literal-required]
        elif key == "reliability":
            for one, other in zip(a["reliability"], b["reliability"], strict=True):
                assert one["count"] == other["count"]
                assert one["accuracy"] == other["accuracy"]
                if one["count"]:
                    assert one["confidence"] == pytest.approx(other["confidence"], rel=1e-12)
        else:
            assert value == b[key]  # type: ignore[literal-required]


SHAPES = [(1, 2), (1, 10), (7, 10), (500, 2), (500, 10), (300, 6), (400, 1000)]


@pytest.mark.parametrize(("images", "classes"), SHAPES)
def test_scikit_learn(images: int, classes: int) -> None:
    """Every metric equals scikit-learn's; macro-F1 with the classes that have an image as its labels."""
    logits, labels = made(images, classes)
    found = scores_of(logits, labels, named(classes))
    every, predicted = np.arange(classes), logits.argmax(axis=1)
    probabilities = softmax(logits.astype(np.float64), axis=1)

    assert found["images"] == images
    assert found["accuracy"] == accuracy_score(labels, predicted)
    assert found["confusion"] == confusion_matrix(labels, predicted, labels=every).tolist()
    f1 = f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(f1, rel=1e-12)
    loss = log_loss(labels, probabilities, labels=every)
    assert found["nll"] == pytest.approx(loss, rel=1e-12)
    one_hot = np.eye(classes)[labels]
    brier = np.mean([np.sum((p - y) ** 2) for p, y in zip(probabilities, one_hot, strict=True)])
    assert found["brier"] == pytest.approx(brier, rel=1e-12)
    if classes > 5:
        top5 = top_k_accuracy_score(labels, logits, k=5, labels=every)
        assert found["top5"] == pytest.approx(top5, rel=1e-12)
    else:
        assert found["top5"] is None

    parts = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    for row, precision, recall, f1, support in zip(found["per_class"], *parts, strict=True):
        assert row["precision"] == pytest.approx(precision, rel=1e-12)
        assert row["recall"] == pytest.approx(recall, rel=1e-12)
        assert row["f1"] == pytest.approx(f1, rel=1e-12)
        assert row["images"] == support


def test_macro_f1_is_over_the_classes_that_are_there() -> None:
    """A network without a mistake has 1.0, whatever class has no image, and these are counted."""
    logits = np.array([[9, 0, 0], [0, 9, 0]], dtype=np.float32)
    found = scores_of(logits, [0, 1], named(3))
    assert found["macro_f1"] == 1
    assert measured_classes(found) == "2 of 3 classes measured"
    assert not measured_classes(scores_of(logits, [0, 2], named(3)) | {"per_class": []})


@given(
    images=st.integers(1, 60), classes=st.integers(1, 12), seed=st.integers(0, 999), data=st.data()
)
@examples(60)
def test_any_chunking(images: int, classes: int, seed: int, data: st.DataObject) -> None:
    """Any split into parts, in any order, gives the metrics of the whole."""
    logits, labels = made(images, classes, seed=seed)
    order = np.array(data.draw(st.permutations(range(images))))
    cuts = sorted(data.draw(st.sets(st.integers(1, images - 1)))) if images > 1 else []
    parts = [count_matrix(logits[rows], labels[rows]) for rows in np.split(order, cuts)]
    close(
        metrics_from_sums(reduce(add_counts, parts), named(classes)),
        scores_of(logits, labels, named(classes)),
    )


def test_more_rows_than_one_chunk() -> None:
    """A split larger than the internal chunk is scored whole."""
    logits, labels = made(2 * ROWS + 3, 3)
    close(
        scores_of(logits, labels, named(3)),
        metrics_from_sums(count_matrix(logits, labels), named(3)),
    )


@given(images=st.integers(1, 40), classes=st.integers(2, 9), seed=st.integers(0, 999))
@examples(60)
def test_ranges_and_sums(images: int, classes: int, seed: int) -> None:
    """Shares lie in [0, 1], brier in [0, 2], and every image is counted once everywhere."""
    logits, labels = made(images, classes, seed=seed)
    found = scores_of(logits, labels, named(classes))
    low, high = found["accuracy_interval"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    assert 0 <= found["macro_f1"] <= 1
    assert 0 <= found["ece"] <= 1
    assert 0 <= found["brier"] <= 2
    assert found["nll"] >= 0
    assert np.sum(found["confusion"]) == images
    assert sum(row["images"] for row in found["per_class"]) == images
    assert sum(bar["count"] for bar in found["reliability"]) == images
    if found["top5"] is not None:
        assert found["top5"] >= found["accuracy"]


def test_class_permutation() -> None:
    """Renaming the classes changes no metric but the order of the rows."""
    logits, labels = made(200, 7)
    order = np.random.default_rng(1).permutation(7)
    moved = scores_of(logits[:, order], np.argsort(order)[labels], named(7))
    found = scores_of(logits, labels, named(7))
    for key in ("accuracy", "top5", "macro_f1", "nll", "brier", "ece"):
        assert moved[key] == pytest.approx(found[key], rel=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_uniform_closed_form(classes: int) -> None:
    """Equal logits predict class 0 with p = 1 / C: nll is log C and brier 1 - 1 / C."""
    labels = np.arange(classes)
    found = scores_of(np.full((classes, classes), 3.0, np.float32), labels, named(classes))
    assert found["accuracy"] == 1 / classes
    assert found["top5"] == (5 / classes if classes > 5 else None)
    assert found["nll"] == pytest.approx(math.log(classes), rel=1e-12)
    assert found["brier"] == pytest.approx(1 - 1 / classes, rel=1e-12)
    assert found["ece"] == pytest.approx(0, abs=1e-12)


def test_ties_go_to_the_lower_index() -> None:
    """Of equal logits the lower index is predicted, and comes first among the top 5."""
    logits = np.zeros((2, 7), np.float32)
    found = scores_of(logits, [4, 5], named(7))
    assert found["confusion"][4][0] == found["confusion"][5][0] == 1
    assert found["top5"] == 0.5


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_extreme_logits(size: float) -> None:
    """Logits of 1e4 and of the largest fp32 give finite numbers; nothing is clipped."""
    logits = np.array([[size, 0, -size], [size, 0, -size]], dtype=np.float32)
    found = scores_of(logits, [0, 2], named(3))
    assert found["nll"] == float(np.float32(size))  # (0 + 2 size) / 2
    assert found["brier"] == 1.0
    assert found["ece"] == 0.5


@pytest.mark.parametrize(
    ("hits", "images"), [(0, 1), (1, 1), (0, 50), (50, 50), (1, 2), (2327, 2600), (7, 13)]
)
def test_wilson(hits: int, images: int) -> None:
    """The interval equals scipy's, and touches 0 and 1 exactly."""
    expected = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    low, high = wilson(hits, images)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (low == 0) == (hits == 0)
    assert (high == 1) == (hits == images)


def test_json_and_names() -> None:
    """The result is plain JSON without NaN, with the class names beside their rows."""
    logits, labels = made(3, 10)
    found = scores_of(logits, labels, named(10))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [row["class"] for row in found["per_class"]] == named(10)


def test_teacher_logits_fill_in_fidelity() -> None:
    """Fidelity is None without a teacher and there with one."""
    logits, labels = made(20, 4)
    assert scores_of(logits, labels, named(4))["fidelity"] is None
    same = scores_of(logits, labels, named(4), teacher_logits=logits)
    assert same["fidelity"] == {"agreement": 1.0, "kl": 0.0}


def test_inputs_are_not_changed() -> None:
    """The caller's arrays are only read."""
    logits, labels = made(20, 4)
    logits.flags.writeable = labels.flags.writeable = False
    scores_of(logits, labels, named(4))


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (np.zeros((2, 3)), [0, -1], "1 of 2 images have label -1"),
        (np.zeros((2, 3)), [0, 3], "labels from 0 to 3"),
        (np.zeros((2, 3)), [0, -2], "labels from -2 to 0"),
        (np.zeros((2, 3)), [0.0, 1.0], "whole numbers"),
        (np.zeros((2, 3)), [0], r"logits \[2, 3\], labels \[1\]"),
        (np.zeros(3), [0, 1, 2], r"logits \[3\], labels \[3\]"),
        (np.zeros((0, 3)), np.zeros(0, np.int64), r"logits \[0, 3\], labels \[0\]"),
        (np.zeros((2, 4)), [0, 1], "4 columns, 3 classes"),
        (np.array([[0, 1, 0], [0, np.nan, 0]]), [0, 1], "NaN or infinity"),
        (np.array([[0, 1, np.inf]]), [0], "NaN or infinity"),
    ],
)
def test_refusals(logits: npt.ArrayLike, labels: npt.ArrayLike, says: str) -> None:
    """What cannot be scored is refused with the shapes or values that do not fit."""
    with pytest.raises(InputError, match=says):
        scores_of(logits, labels, named(3))
