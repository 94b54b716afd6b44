"""How many grey levels are left of images of more than 8 bits, and the range that would keep more."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.decode.decode import taking_turns
from tutelage.data.decode.deep import LEVELS, Deep, is_deep, read_deep, to_levels
from tutelage.data.decode.prepare import Prepared, try_prepare
from tutelage.data.decode.signatures import file_family
from tutelage.data.readers.source import Item, Unreadable


class Depth(NamedTuple):
    """What an image of more than 8 bits holds."""

    low: float
    """Its smallest value; `high` is the largest."""
    high: float
    limits: tuple[float, float] | None
    """Values that become the first and the last 8-bit level; None: they have no defined range."""
    levels: frozenset[int]
    """8-bit levels that its values become."""
    whole: bool
    """Whether its values are whole numbers."""


class DepthReport(NamedTuple):
    """What all images of more than 8 bits hold together, in a sentence."""

    text: str
    poor: bool
    """Whether another range would keep at least twice the levels."""


def examine(item: Item, settings: DataConfig) -> tuple[Prepared | str, Depth | None]:
    """Prepare an item as `try_prepare` does, and measure its depth; it is read once."""
    try:
        found = item.read()
    except Unreadable as unreadable:
        return unreadable.reason, None
    depth = measure_depth(found, settings) if isinstance(found, bytes) else None
    return try_prepare(item._replace(read=lambda: found), settings), depth


def measure_depth(raw: bytes, settings: DataConfig) -> Depth | None:
    """Return what an image of more than 8 bits holds; None for all others, and for damaged ones."""
    family = file_family(raw)
    if family is None:
        return None
    try:
        with Image.open(io.BytesIO(raw), formats=(family,)) as image:
            if not is_deep(image) or image.width * image.height > settings.max_pixels:
                return None
            with taking_turns(image):
                return _measured(read_deep(image, raw), settings)
    except Exception:  # preparing it gives the reason
        return None


def _measured(deep: Deep | None, settings: DataConfig) -> Depth | None:
    if deep is None:
        return None
    values, whole = deep.values, deep.values.dtype.kind != "f"
    finite = values if whole else values[np.isfinite(values)]
    if not finite.size:
        return None
    limits = settings.range or ((0, (1 << deep.bits) - 1) if deep.bits else None)
    seen = np.zeros(LEVELS, bool)
    for row in to_levels(deep, settings.range) if limits else ():
        seen[row] = True
    levels = frozenset(np.flatnonzero(seen).tolist())
    return Depth(float(finite.min()), float(finite.max()), limits, levels, whole)


def describe_depths(found: Sequence[Depth]) -> DepthReport | None:
    """Describe the values of all images of more than 8 bits; None where there are none."""
    if not found:
        return None
    low, high = min(one.low for one in found), max(one.high for one in found)
    whole = all(one.whole for one in found)
    left = len(frozenset().union(*(one.levels for one in found)))
    offered = offer_range(low, high, whole=whole)
    kept = levels_within(low, high, offered, whole=whole)
    images = f"{len(found):,} image{'s have' if len(found) > 1 else ' has'} more than 8 bits"
    text = f"{images}, values {low:g} to {high:g}: {left} of {LEVELS} grey levels are left"
    now = [levels_within(low, high, one.limits, whole=whole) for one in found]
    poor = low < high and 2 * min(now) <= kept
    if poor:
        limits = " ".join(f"{limit:.9g}" for limit in offered)
        text += f"; {flag('data.range')} {limits} keeps up to {kept}"
    elif any(one.limits and not one.limits[0] <= low <= high <= one.limits[1] for one in found):
        text += ", and values beyond the range become its ends"
    return DepthReport(text, poor)


def offer_range(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """Return one range for a data set: that of a sensor of some bits, or else from its lowest to its highest.

    >>> offer_range(3, 4000, whole=True), offer_range(30000, 30200, whole=True)
    ((0, 4095), (30000, 30200))
    """
    sensor = (0, (1 << int(high).bit_length()) - 1) if whole and low >= 0 else (0, 1)
    exact = (low, high)
    if not sensor[0] <= low < high <= sensor[1]:
        return exact
    ours, theirs = (levels_within(low, high, limits, whole=whole) for limits in (sensor, exact))
    return sensor if 2 * ours >= theirs else exact


def levels_within(
    low: float, high: float, limits: tuple[float, float] | None, *, whole: bool
) -> int:
    """Return how many levels values from `low` to `high` become at most."""
    if limits is None or not low < high:
        return 0
    low, high = max(low, limits[0]), min(high, limits[1])
    steps = int((high - low) / (limits[1] - limits[0]) * (LEVELS - 1)) + 1
    return max(min(steps, int(high - low) + 1) if whole else steps, 1)
