"""How far cells of a sweep are apart: seed by seed, with an interval, and what can be said of it."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np

from tutelage.reports.statistics.intervals import Interval, bootstrap_interval, t_interval
from tutelage.reports.statistics.verdict import SEEDS_NEEDED
from tutelage.reports.sweep.results import SweepResult
from tutelage.reports.wording import points

NOTHING = "-"
"""Where there is no difference, no interval, no figure."""


class Difference(NamedTuple):
    """Mean over seeds of two objectives' accuracy apart, in shares; its interval from two seeds on."""

    mean: float
    interval: Interval | None
    seeds: int


def sweep_difference(
    these: Sequence[SweepResult], those: Sequence[SweepResult], *, equal: str = "epochs"
) -> Difference | None:
    """Accuracy apart, seed by seed; None where no seed is in both, with the same network, budget and images.

    The interval is the wider of Student's t over seeds and the bootstrap over images, as in a report.
    With `equal` of "plain_epochs", the others were trained for as long as these cost.
    """
    other = {_fair(cell, cell.epochs): cell for cell in those}
    mine = [(cell, _fair(cell, getattr(cell, equal))) for cell in these]
    pairs = [(cell, other[key]) for cell, key in mine if key in other]
    if not pairs:
        return None
    apart = np.array([one.accuracy - two.accuracy for one, two in pairs])
    if len(pairs) < 2:
        return Difference(float(apart.mean()), None, 1)
    by_image = np.mean([one.right.astype(float) - two.right for one, two in pairs], axis=0)
    over_seeds, over_images = t_interval(apart), bootstrap_interval(by_image)
    wider = max((over_seeds, over_images), key=lambda interval: interval.width)
    return Difference(float(apart.mean()), wider, len(pairs))


def _fair(cell: SweepResult, epochs: int) -> tuple[int | str, ...]:
    """What two cells have in common that may be compared."""
    return cell.seed, cell.model, epochs, cell.image_size, len(cell.right)


def beyond_chance(apart: Difference | None) -> int | None:
    """1 where a difference is above zero as far as its interval tells, -1 below, 0 neither; None where there
    are too few seeds to say.
    """
    if apart is None or apart.interval is None or apart.seeds < SEEDS_NEEDED:
        return None
    return int(apart.interval.lower > 0) - int(apart.interval.upper < 0)


def in_points(apart: Difference | None) -> tuple[str, str]:
    """A difference and its interval as text."""
    if apart is None:
        return NOTHING, NOTHING
    between = apart.interval
    told = f"{points(between.lower, 2)} to {points(between.upper, 2)}" if between else NOTHING
    return points(apart.mean, 2), told


def in_per_cent(accuracies: Sequence[float]) -> str:
    """Their mean and, of two and more, standard deviation as text, from shares."""
    shown = [100 * accuracy for accuracy in accuracies]
    return f"{mean(shown):.2f}" + (f" ± {stdev(shown):.2f}" if len(shown) > 1 else "")
