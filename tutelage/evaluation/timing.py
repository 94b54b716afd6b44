"""Compare the speed of several functions fairly: interleaved, in one process, after a warm-up.

The speed of a machine drifts, so functions timed one after the other are not comparable. Here every round
calls each of them once, and ratios are taken round by round. Results are medians with their range.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypedDict

Way = Callable[[], object]


class MedianRange(TypedDict):
    """A figure over several rounds."""

    median: float
    low: float
    high: float
    rounds: int


def time_interleaved(
    functions: Mapping[str, Way],
    *,
    rounds: int = 7,
    warm_up: int = 2,
    settle: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Time each function in each round, in seconds.

    Args:
        functions: what to time, by name.
        rounds: how often each is timed.
        warm_up: how often each is called before, untimed.
        settle: waits for work still in flight, such as a GPU's; its time counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for number in range(-warm_up, rounds):
        # The order rotates, so that no function always follows the same other one.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begin = time.perf_counter()
            functions[name]()
            settle()
            if number >= 0:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def median_range(values: Sequence[float]) -> MedianRange:
    """Compute median, smallest and largest value.

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
    """Compute the ratio of the first to the second, round by round.

    >>> median_ratio([2.0, 3.0], [1.0, 2.0])["median"]
    1.75
    """
    return median_range([a / b for a, b in zip(above, below, strict=True)])
