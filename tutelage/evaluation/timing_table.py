"""Timings as figures for a file and as a table for a person."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from tutelage.evaluation.timing import MedianRange, median_range, median_ratio


class TimingTable(TypedDict, total=False):
    """The figures of one function."""

    ms: MedianRange
    """Milliseconds of one call."""
    images_per_second: float
    ratio: MedianRange
    """Its time divided by that of the first function."""
    megabytes: float
    """Peak memory."""
    memory_ratio: float
    """Its peak memory divided by that of the first function."""


def timing_table(
    seconds: Mapping[str, Sequence[float]],
    *,
    images: int | None = None,
    bytes: Mapping[str, int] | None = None,
) -> dict[str, TimingTable]:
    """Compute the figures of functions timed by `time_interleaved`.

    Args:
        seconds: of each function in each round.
        images: that one call of any function works on.
        bytes: peak memory of each function.

    >>> timing_table({"plain": [0.1, 0.1], "live": [0.2, 0.3]}, images=32)["live"]["ratio"]["median"]
    2.5
    """
    first = next(iter(seconds))
    result: dict[str, TimingTable] = {}
    for name, values in seconds.items():
        result[name] = {"ms": _in_ms(median_range(values))}
        if images is not None:
            result[name]["images_per_second"] = round(images / median_range(values)["median"], 1)
        if name != first:
            result[name]["ratio"] = median_ratio(values, seconds[first])
        if bytes is not None:
            result[name]["megabytes"] = round(bytes[name] / 1e6, 2)
            result[name]["memory_ratio"] = round(bytes[name] / max(1, bytes[first]), 4)
    return result


def _in_ms(seconds: MedianRange) -> MedianRange:
    return {
        "median": round(1000 * seconds["median"], 4),
        "low": round(1000 * seconds["low"], 4),
        "high": round(1000 * seconds["high"], 4),
        "rounds": seconds["rounds"],
    }


def timing_lines(found: Mapping[str, TimingTable]) -> list[str]:
    """Format a table with one line for each function.

    >>> for line in timing_lines(timing_table({"plain": [0.1], "live": [0.2]}, images=32)):
    ...     print(line.rstrip())
                     ms                range   images/s       x plain
    plain       100.000    100.000 - 100.000      320.0
    live        200.000    200.000 - 200.000      160.0         2.000
    """
    first, widest = next(iter(found)), max(8, *map(len, found))
    head = f"{'':{widest}}  {'ms':>9}  {'range':>19}"
    if any("images_per_second" in one for one in found.values()):
        head += f"  {'images/s':>9}"
    if any("ratio" in one for one in found.values()):
        head += f"  {'x ' + first:>12}"
    if any("megabytes" in one for one in found.values()):
        head += f"  {'MB':>9}  {'x ' + first:>12}"
    rows = [head]
    for name, one in found.items():
        ms = one["ms"]
        between = f"{ms['low']:.3f} - {ms['high']:.3f}"
        row = f"{name:{widest}}  {ms['median']:9.3f}  {between:>19}"
        if "images_per_second" in one:
            row += f"  {one['images_per_second']:9.1f}"
        if "ratio" in one:
            row += f"  {one['ratio']['median']:12.3f}"
        elif "megabytes" in one:
            row += f"  {'':12}"
        if "megabytes" in one:
            row += f"  {one['megabytes']:9.1f}  {one['memory_ratio']:12.3f}"
        rows.append(row)
    return rows
