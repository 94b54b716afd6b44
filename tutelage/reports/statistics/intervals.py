"""Confidence intervals for a mean difference: Student's t over seeds, the bootstrap over images."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A confidence interval."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """Return upper minus lower."""
        return self.upper - self.lower


def t_interval(differences: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Compute Student's t interval for the mean of `differences` [K], one per seed; K - 1 degrees.

    Raises:
        ValueError: fewer than two differences.
    """
    seeds = len(differences)
    if seeds < 2:
        raise ValueError(f"an interval over seeds needs two or more, not {seeds}")
    mean = float(differences.mean())
    half = t_quantile((1 + level) / 2, seeds - 1) * float(differences.std(ddof=1))
    half /= math.sqrt(seeds)
    return Interval(mean - half, mean + half)


def bootstrap_interval(
    values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> Interval:
    """Compute the percentile bootstrap interval for the mean of `values` [N], one per image.

    A resample of N images is a multinomial draw over the distinct values (with several seeds there
    are only 2K + 1 of them), which is the same distribution and needs no [resamples, N] table.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    distinct, counts = np.unique(values, return_counts=True)
    images = len(values)
    draws = np.random.default_rng(seed).multinomial(images, counts / images, size=resamples)
    tail = (1 - level) / 2
    lower, upper = np.quantile(draws @ distinct / images, (tail, 1 - tail))
    return Interval(float(lower), float(upper))


def t_quantile(probability: float, degrees: int) -> float:
    """Compute a quantile of Student's t with `degrees` of freedom, for a probability of at least 0.5.

    >>> round(t_quantile(0.975, 2), 3)
    4.303
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"no quantile for probability {probability} and {degrees} degrees")
    lower, upper = 0.0, 1.0
    while _central(upper, degrees) < 2 * probability - 1:
        upper *= 2
    for _ in range(200):
        middle = (lower + upper) / 2
        if _central(middle, degrees) < 2 * probability - 1:
            lower = middle
        else:
            upper = middle
    return (lower + upper) / 2


def _central(t: float, degrees: int) -> float:
    """Compute P(-t < T < t) by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2 == 1
    term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range(2 if odd else 1, degrees, 2):
        total += term
        term *= square * k / (k + 1)
    return (angle + sine * total) * 2 / math.pi if odd else sine * total
