"""Time several ways of doing the same thing fairly: in turn, in one process, after a warm-up.

A machine's speed drifts; two ways timed one after the other are then not comparable. Here every round
does each way once, and a ratio is taken round by round. What is reported is the median and its range.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypedDict

Way = Callable[[], object]


class MedianRange(TypedDict):
    """A figure over rounds."""

    median: float
    low: float
    high: float
    rounds: int


def time_interleaved(
    ways: Mapping[str, Way],
    *,
    rounds: int = 7,
    warm_up: int = 2,
    settle: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each way in each round.

    Args:
        ways: what to do, by name.
        rounds: how often each is timed.
        warm_up: how often each is done before, untimed.
        settle: waits for work still in flight, such as a GPU's; its time counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-warm_up, rounds):
        # The order turns round by round, so that no way always follows the same other.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begin = time.perf_counter()
            ways[name]()
            settle()
            if number >= 0:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def median_range(values: Sequence[float]) -> MedianRange:
    """Median, smallest, largest.

    >>> median_range([1.0, 3.0, 2.0])
    {'median': 2.0, 'low': 1.0, 'high': 3.0, 'rounds': 3}
    """
    return {
        "median": median(values),
        "low": min(values),
        "high": max(values),
        "rounds": len(values),
    }


def median_ratio(above: Sequence[float], below: Sequence[float]) -> MedianRange:
    """The first by the second, round by round.

    >>> median_ratio([2.0, 3.0], [1.0, 2.0])["median"]
    1.75
    """
    return median_range([a / b for a, b in zip(above, below, strict=True)])
