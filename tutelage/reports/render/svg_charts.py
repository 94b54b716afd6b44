"""Compute the geometry of the page's small drawings; the template draws it, so that names are escaped.

Positions along an axis are percentages of the width, so that text keeps its size on a phone.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.reports.statistics.verdict import Verdict, decimals_for
from tutelage.reports.wording import points, short
from tutelage.storage.scores import Metrics

HEAT_CLASSES = 30


class Tick(NamedTuple):
    """A mark on an axis, in percent of the width."""

    at: float
    text: str


class Whisker(NamedTuple):
    """The difference and its interval beside zero, in percent of the width."""

    zero: float
    lower: float
    upper: float
    dot: float
    seeds: tuple[Tick, ...]
    ticks: tuple[Tick, ...]
    label: str


class Bar(NamedTuple):
    """A bar from zero, in percent of the width."""

    zero: float
    left: float
    width: float


class HeatCell(NamedTuple):
    """One cell of a confusion matrix."""

    row: int
    column: int
    images: int
    share: float
    """Of the images of its row, 0..1."""
    strength: float
    """Opacity, 0..1."""


class Heat(NamedTuple):
    """A confusion matrix, in units of the view box."""

    size: int
    cell: int
    margin: int
    labels: tuple[str, ...]
    cells: tuple[HeatCell, ...]
    numbers: bool
    """Whether cells are large enough for their numbers."""


class ReliabilityBar(NamedTuple):
    """One bar of a reliability diagram, in 0..1."""

    lower: float
    width: float
    accuracy: float
    confidence: float
    share: float
    """Of all predictions."""
    images: int


def draw_whisker(verdict: Verdict) -> Whisker | None:
    """Lay out the difference with its interval; None if nothing was paired."""
    if verdict.interval is None or verdict.difference is None:
        return None
    seeds = [pair.difference for pair in verdict.pairs]
    low = min(0.0, verdict.interval.lower, *seeds)
    high = max(0.0, verdict.interval.upper, *seeds)
    pad = 0.12 * (high - low) or 0.01
    low, high = low - pad, high + pad

    def at(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    digits = decimals_for(verdict.interval)
    step = _step(100 * (high - low))
    marks = [
        step * k for k in range(math.ceil(100 * low / step), math.floor(100 * high / step) + 1)
    ]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return Whisker(
        zero=at(0.0),
        lower=at(verdict.interval.lower),
        upper=at(verdict.interval.upper),
        dot=at(verdict.difference),
        seeds=tuple(
            Tick(at(pair.difference), f"seed {pair.seed}: {points(pair.difference, digits)}")
            for pair in verdict.pairs
        ),
        ticks=tuple(Tick(at(m / 100), "0" if m == 0 else f"{m:+.{decimals}f}") for m in marks),
        label=points(verdict.difference, digits),
    )


def draw_bar(value: float, extent: float) -> Bar:
    """Lay out a bar for a value in -extent..extent."""
    share = 0.0 if extent <= 0 else max(-1.0, min(1.0, value / extent))
    return Bar(50.0, round(50 + min(0.0, 50 * share), 2), round(abs(50 * share), 2))


def draw_heat(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> Heat | None:
    """Lay out a confusion matrix [C, C]; None above `HEAT_CLASSES` classes."""
    count = len(classes)
    if count > HEAT_CLASSES:
        return None
    cell = 30 if count <= 12 else 16
    labels = tuple(short(name, 16) for name in classes)
    margin = 16 + round(6.4 * max(len(label) for label in labels))
    totals = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    cells = tuple(
        HeatCell(
            int(row),
            int(column),
            int(confusion[row, column]),
            float(shares[row, column]),
            round(float(shares[row, column]) ** 0.6, 3),
        )
        for row, column in np.argwhere(confusion > 0)
    )
    return Heat(margin + cell * count + 2, cell, margin, labels, cells, count <= 12)


def pool_bins(metrics: list[Metrics]) -> list[ReliabilityBar]:
    """Pool the bins of several seeds, weighted by their images."""
    total = sum(bar["count"] for one in metrics for bar in one["reliability"])
    pooled = []
    for bins in zip(*(one["reliability"] for one in metrics), strict=False):
        images = sum(bar["count"] for bar in bins)
        pooled.append(
            ReliabilityBar(
                lower=bins[0]["lower"],
                width=bins[0]["upper"] - bins[0]["lower"],
                accuracy=sum(b["count"] * (b["accuracy"] or 0) for b in bins) / max(images, 1),
                confidence=sum(b["count"] * (b["confidence"] or 0) for b in bins) / max(images, 1),
                share=images / max(total, 1),
                images=images,
            )
        )
    return pooled


def _step(span: float) -> float:
    """Choose a round distance of ticks: about five over the span."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(step - rough))
