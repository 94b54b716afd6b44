"""Which classes a generalist mixes up: groups for specialists, from its predictions alone.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.3: K-means over the columns of the covariance
matrix of the generalist's predictions. Where we differ: theirs is an online K-means; this one starts at
classes far from each other and takes the best of as many starts as there are classes, so that the same
predictions give the same groups.
"""

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError

_ROUNDS = 100
"""More than K-means takes on any matrix of this size; it stops where nothing moves."""


def confusable_groups(
    probabilities: NDArray[np.floating], count: int
) -> tuple[tuple[int, ...], ...]:
    """Groups of classes that are predicted together.

    Args:
        probabilities: [N, C], what the generalist says about N pictures.
        count: of clusters; those of a single class are no group, so fewer may come back.

    Returns:
        Class numbers in rising order, the groups by their first class.

    Raises:
        InputError: fewer classes than clusters, or no pictures.
    """
    if probabilities.ndim != 2 or len(probabilities) == 0 or probabilities.shape[1] < count:
        raise InputError(
            "classes cannot be grouped",
            found=f"predictions {list(probabilities.shape)}, {count} groups",
            expected="at least one picture, and as many classes as groups",
        )
    centred = probabilities.astype(np.float64) - probabilities.mean(axis=0, dtype=np.float64)
    columns = (centred.T @ centred) / len(centred)
    labels = clusters(columns, count)
    groups = [tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    return tuple(sorted(group for group in groups if len(group) > 1))


def clusters(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """K-means: the cluster of each point [N, D], int64 [N]; of N starts, that of the least spread.

    A start is one of the points, and then again and again the point farthest from all that are chosen.
    """
    best, least = np.zeros(len(points), np.int64), np.inf
    for first in range(len(points)):
        labels, spread = _from(points, _far_apart(points, first, count))
        if spread < least * (1 - 1e-12):
            best, least = labels, spread
    return best


def _far_apart(points: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
    chosen = [first]
    nearest = _squared(points, points[chosen]).min(axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _squared(points, points[chosen[-1:]])[:, 0])
    return points[chosen].copy()


def _from(
    points: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float]:
    labels = np.full(len(points), -1, np.int64)
    for _ in range(_ROUNDS):
        now = _squared(points, centres).argmin(axis=1)
        if (now == labels).all():
            break
        labels = now
        for label in range(len(centres)):
            if (labels == label).any():
                centres[label] = points[labels == label].mean(axis=0)
    return labels, float(_squared(points, centres).min(axis=1).sum())


def _squared(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(((points[:, None] - centres[None]) ** 2).sum(axis=2))
