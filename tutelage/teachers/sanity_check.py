"""Check a teacher against the labels before it is used for training."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError

LUCK = 0.01
"""Significance level: an accuracy that chance reaches with a higher probability counts as luck."""

_ALIKE = 1e-5
"""Outputs whose spread is at most this share of the largest logit count as equal."""


class TeacherCheck(NamedTuple):
    """The result of comparing predictions with labels."""

    images: int
    """Number of images with a known label."""

    accuracy: float
    """Accuracy on these images."""

    chance: float
    """Accuracy of random predictions with the same class frequencies."""

    lucky: bool
    """Whether the accuracy may be luck."""

    order: dict[int, int]
    """Label -> the class predicted for it, if such an order explains the labels far better; else empty."""

    ordered: float
    """Accuracy with this order."""


def check_teacher(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    rows: NDArray[np.int64],
    classes: Sequence[str],
    where: object,
    trust: bool,
    early: bool = False,
) -> None:
    """Raise InputError for a teacher whose outputs are unusable.

    Args:
        logits: its outputs, float32 [N, C].
        labels: int64 [N]; -1 if unknown.
        rows: ids of the images, int64 [N].
        classes: names [C].
        where: the teacher, for the message.
        trust: whether the user accepts classes in another order and an accuracy at chance.
        early: whether it is a checkpoint from early in a training, which may be at chance.

    Raises:
        InputError: outputs that are not finite or the same for all images, classes in another order, or an
            accuracy that is not clearly above chance.
    """
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise InputError(
            "the teacher's logits are not finite",
            where=where,
            found=f"image {rows[bad[0]]}, and {len(bad)} of {len(rows)} in all",
            fix="another teacher: this one has diverged",
        )
    if len(logits) > 1 and np.ptp(logits, axis=0).max() <= _ALIKE * np.abs(logits).max():
        raise InputError(
            "the teacher gives the same output for every image",
            where=where,
            found=f"equal logits for {len(rows)} images",
            expected="answers that depend on the image",
            fix="another teacher: this one has not been trained, or has collapsed",
        )
    known = labels >= 0
    verdict = None if trust else judge_outputs(logits[known].argmax(1), labels[known], len(classes))
    if verdict is None:
        return
    if verdict.order:
        raise InputError(
            "the teacher's classes are in another order than the data's",
            where=where,
            found=f"accuracy {_percent(verdict.accuracy)} of {verdict.images} images, and "
            f"{_percent(verdict.ordered)} where it is read so: {_pairs(verdict.order, classes)}",
            expected="the classes of the data, in their order",
            fix="--teacher-classes FILE, the names in the order of the teacher's outputs, or "
            "--skip-teacher-check to take it as it is",
        )
    if verdict.lucky and not early:
        raise InputError(
            "the teacher is no better than chance",
            where=where,
            found=f"accuracy {_percent(verdict.accuracy)} of {verdict.images} images",
            expected=f"clearly more than {_percent(verdict.chance)}, which needs no look at them",
            fix="a teacher trained on these classes, or --skip-teacher-check to take it as it is",
        )


def judge_outputs(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> TeacherCheck | None:
    """Compare predictions with labels; returns None if there are too few to rule out luck.

    Args:
        predicted: int64 [N].
        labels: int64 [N], all known.
        classes: C.
    """
    count = len(labels)
    if not count:
        return None
    shares = [np.bincount(found, minlength=classes) / count for found in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    if binomial_tail(count, count, float(shares[1] @ shares[1])) > LUCK:
        return None
    right = int((predicted == labels).sum())
    lucky = binomial_tail(right, count, chance) > LUCK
    order, ordered = _order(predicted, labels, classes, lucky=lucky)
    return TeacherCheck(count, right / count, chance, lucky, order, ordered)


def binomial_tail(hits: int, count: int, chance: float) -> float:
    """Return the probability of at least `hits` successes in `count` independent trials.

    >>> round(binomial_tail(2, 2, 0.5), 3), binomial_tail(0, 5, 0.1), binomial_tail(3, 3, 1.0)
    (0.25, 1.0, 1.0)
    """
    if hits == 0 or chance >= 1:
        return 1.0
    if chance <= 0:
        return 0.0
    one, other = math.log(chance), math.log1p(-chance)
    ways = math.lgamma(count + 1)
    logs = [
        ways - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * one + (count - k) * other
        for k in range(hits, count + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def _order(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int, *, lucky: bool
) -> tuple[dict[int, int], float]:
    """Find the order of the teacher's classes on every other image and verify it on the rest.

    If the accuracy is above chance, only cyclic swaps of classes are considered, since similar classes are
    also confused. Empty if the order is right.
    """
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels[::2], predicted[::2]), 1)
    named = _one_to_one(table)
    if not lucky:
        named = _cycles(named)
    moved = {label: name for label, name in named.items() if label != name}
    to = np.full(classes, -1)
    to[[*moved]] = [*moved.values()]
    labels, predicted = labels[1::2], predicted[1::2]
    those = to[labels] >= 0
    right = int((predicted == labels)[those].sum())
    ordered = int((predicted == to[labels])[those].sum())
    if not ordered or ordered < 2 * right:
        return {}, 0.0
    # A network that predicts nearly always the same class is no evidence of another order.
    often = np.bincount(predicted, minlength=classes)[to[labels[those]]].mean() / len(predicted)
    sure = LUCK / 10
    if (
        binomial_tail(ordered, int(those.sum()), often) > sure
        or binomial_tail(ordered, ordered + right, 0.5) > sure
    ):
        return {}, 0.0
    others = (predicted == labels) & ~those
    return moved, (int(others.sum()) + ordered) / len(labels)


def _one_to_one(table: NDArray[np.int64]) -> dict[int, int]:
    """Map each label to the class most often predicted for it, each class once; counts [C, C]."""
    found, taken = {}, set()
    labels, names = np.nonzero(table)
    for place in np.argsort(-table[labels, names], kind="stable"):
        label, name = int(labels[place]), int(names[place])
        if label not in found and name not in taken:
            found[label] = name
            taken.add(name)
    return found


def _cycles(named: dict[int, int]) -> dict[int, int]:
    """Keep only the classes that form cycles."""
    kept = dict(named)
    while lost := [label for label, name in kept.items() if name not in kept]:
        for label in lost:
            del kept[label]
    return kept


def _pairs(order: dict[int, int], classes: Sequence[str]) -> str:
    pairs = [f"{classes[label]} is called {classes[name]}" for label, name in order.items()]
    return ", ".join(pairs[:3]) + (f" and {len(pairs) - 3} more" if len(pairs) > 3 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
