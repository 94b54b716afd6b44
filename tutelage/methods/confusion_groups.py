"""Find groups of classes that a generalist confuses, for its specialists, from its predictions alone.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.3: K-means over the columns of the covariance
matrix of the generalist's predictions. Where we differ: each class's predictions are first scaled to a
deviation of 1. Otherwise the classes that vary most, which it knows best, become clusters of their own and
all others one: of 20 groups planted in 100 classes few or none are found, and with scaling all. And theirs
is an online K-means; this one takes the best of several starts without randomness, so that the same
predictions give the same groups.
"""

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError

_ROUNDS = 100
"""Upper limit of K-means iterations; it stops earlier when no label changes."""

_LEAST = 1e-9
"""Lower limit of a class's deviation, for classes whose predictions hardly vary."""

_FEW = 100
"""Most points for which every point is tried as a start; with more it takes long and gains little."""

_DIRECT = 1_000_000
"""Most differences that are computed directly; beyond, distances use a matrix product."""


def confusable_groups(
    probabilities: NDArray[np.floating], count: int
) -> tuple[tuple[int, ...], ...]:
    """Find groups of classes that are predicted together.

    Args:
        probabilities: the generalist's predictions for N images, [N, C].
        count: number of clusters; clusters of one class are dropped, so fewer groups may be returned.

    Returns:
        Class numbers in ascending order, groups sorted by their first class.

    Raises:
        InputError: fewer classes than clusters, or no images.
    """
    if probabilities.ndim != 2 or len(probabilities) == 0 or probabilities.shape[1] < count:
        raise InputError(
            "classes cannot be grouped",
            found=f"predictions {list(probabilities.shape)}, {count} groups",
            expected="at least one image, and as many classes as groups",
        )
    centred = probabilities.astype(np.float64) - probabilities.mean(axis=0, dtype=np.float64)
    centred /= np.sqrt((centred**2).mean(axis=0)).clip(min=_LEAST)
    columns = (centred.T @ centred) / len(centred)
    labels = cluster_classes(columns, count)
    groups = [tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    return tuple(sorted(group for group in groups if len(group) > 1))


def cluster_classes(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Cluster points [N, D] by K-means; returns int64 [N], from the start with the least spread.

    One start merges points until `count` clusters are left, each time where the spread grows least (Ward
    1963). With few points there are more starts: each point in turn, followed repeatedly by the point
    farthest from those chosen.
    """
    tried = len(points) if len(points) <= _FEW else 0
    starts = [_merged(points, count), *(_far_apart(points, n, count) for n in range(tried))]
    best, least = np.zeros(len(points), np.int64), np.inf
    for centres in starts:
        labels, spread = _k_means(points, centres)
        if spread < least * (1 - 1e-12):
            best, least = labels, spread
    return best


def _merged(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Merge points by Ward's rule, the closest first; returns the remaining centres [count, D]."""
    centres, sizes = points.copy(), np.ones(len(points))
    growth = _squared(points, points) / 2
    np.fill_diagonal(growth, np.inf)
    for _ in range(len(points) - count):
        into, gone = divmod(int(growth.argmin()), len(points))
        both = sizes[into] + sizes[gone]
        centres[into] = (sizes[into] * centres[into] + sizes[gone] * centres[gone]) / both
        sizes[into], sizes[gone] = both, 0
        found = sizes * both / (sizes + both) * _squared(centres, centres[[into]])[:, 0]
        growth[into] = growth[:, into] = np.where(sizes > 0, found, np.inf)
        growth[into, into] = np.inf
        growth[gone] = growth[:, gone] = np.inf
    return centres[sizes > 0].copy()


def _far_apart(points: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
    chosen = [first]
    nearest = _squared(points, points[chosen]).min(axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _squared(points, points[chosen[-1:]])[:, 0])
    return points[chosen].copy()


def _k_means(
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
    """Return the squared distances [N, K]."""
    if points.size * len(centres) <= _DIRECT:
        return np.asarray(((points[:, None] - centres[None]) ** 2).sum(axis=2))
    sums = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None]
    return np.asarray((sums - 2 * points @ centres.T).clip(min=0))
