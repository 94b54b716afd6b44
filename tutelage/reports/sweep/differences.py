"""Differences between cells of a sweep: paired by seed, with an interval."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np

from tutelage.config.image_size import ImageSize
from tutelage.reports.statistics.intervals import Interval, bootstrap_interval, t_interval
from tutelage.reports.statistics.verdict import SEEDS_NEEDED
from tutelage.reports.sweep.results import SweepResult
from tutelage.reports.wording import points

NOTHING = "-"
"""Shown where there is no number."""


class Difference(NamedTuple):
    """The difference in accuracy between two objectives, in shares."""

    mean: float
    """Over the seeds that both have."""
    interval: Interval | None
    """None for a single seed."""
    seeds: int


def sweep_difference(
    these: Sequence[SweepResult], those: Sequence[SweepResult], *, equal: str = "epochs"
) -> Difference | None:
    """Compare accuracies, paired by seed; None without pairs of the same seed, network, epochs and images.

    The interval is the wider of Student's t over seeds and the bootstrap over images, as in a report. With
    `equal` of "plain_epochs", these are paired with controls of equal compute instead of equal epochs.
    """
    other = {_pairing_key(cell, cell.epochs): cell for cell in those}
    mine = [(cell, _pairing_key(cell, getattr(cell, equal))) for cell in these]
    pairs = [(cell, other[key]) for cell, key in mine if key in other]
    if not pairs:
        return None
    by_seed = np.array([one.accuracy - two.accuracy for one, two in pairs])
    if len(pairs) < 2:
        return Difference(float(by_seed.mean()), None, 1)
    by_image = np.mean([one.right.astype(float) - two.right for one, two in pairs], axis=0)
    over_seeds, over_images = t_interval(by_seed), bootstrap_interval(by_image)
    wider = max((over_seeds, over_images), key=lambda interval: interval.width)
    return Difference(float(by_seed.mean()), wider, len(pairs))


def _pairing_key(cell: SweepResult, epochs: int) -> tuple[ImageSize | str, ...]:
    return cell.seed, cell.model, epochs, cell.image_size, len(cell.right)


def beyond_chance(found: Difference | None) -> int | None:
    """Return 1 if the interval is above zero, -1 if below, 0 if it contains zero; None for too few seeds."""
    if found is None or found.interval is None or found.seeds < SEEDS_NEEDED:
        return None
    return int(found.interval.lower > 0) - int(found.interval.upper < 0)


def in_points(found: Difference | None) -> tuple[str, str]:
    """Format a difference and its interval in percentage points."""
    if found is None:
        return NOTHING, NOTHING
    bounds = (
        " to ".join(points(bound, 2) for bound in found.interval) if found.interval else NOTHING
    )
    return points(found.mean, 2), bounds


def in_per_cent(accuracies: Sequence[float]) -> str:
    """Format the mean of shares in per cent and, from two on, their standard deviation."""
    shown = [100 * accuracy for accuracy in accuracies]
    return f"{mean(shown):.2f}" + (f" ± {stdev(shown):.2f}" if len(shown) > 1 else "")
