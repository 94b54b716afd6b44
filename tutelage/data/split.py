"""Assign images to train, val or test: as given, or drawn class by class from a seed.

Within a class, images are drawn in the order of SHA-256(seed, file name), so the split of an image does not
depend on the order of a scan, on the machine, or on whether other files can be read.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.source import SPLITS, Item, Source, Split
from tutelage.errors import InputError, UsageError


class AssignedItem(NamedTuple):
    """An item with its final split and label."""

    item: Item
    split: Split
    label: str | None
    """None: unlabelled."""


def assign_splits(source: Source, settings: DataConfig) -> list[AssignedItem]:
    """Assign every item to a split, in the order of the source; items in no split are left out.

    Given splits are kept, except that a missing val is taken from train by its share. Otherwise all labelled
    images are pooled and split; unlabelled images stay in test.

    Raises:
        UsageError: the `split` setting is neither shares that sum to 1 nor whole numbers.
        InputError: there are too few images for it.
    """
    given = {item.split for item in source.items} - {None}
    if settings.splits == "redraw" or not given:
        pool = [item for item in source.items if item.label is not None]
        wanted = _counts(settings.split, len(pool))
        drawn = _draw(pool, wanted, settings.split_seed)
        drawn |= {item.name: "test" for item in source.items if item.label is None}
    else:
        drawn = {item.name: item.split for item in source.items if item.split}
        if "val" not in given:
            train = [item for item in source.items if item.split == "train"]
            val = _counts(settings.split, len(train), only_val=True)
            drawn |= _draw(train, val, settings.split_seed)
    hide = settings.test_labels == "hide"
    return [
        AssignedItem(item, split, None if hide and split == "test" else item.label)
        for item in source.items
        if (split := drawn.get(item.name))
    ]


def _counts(split: Sequence[float], images: int, *, only_val: bool = False) -> dict[Split, int]:
    """Return the number of images of each split: exactly the whole numbers, or the shares rounded."""
    shares = abs(sum(split) - 1) < 1e-6
    if not shares and not all(float(part).is_integer() for part in split):
        raise UsageError(
            f"{flag('data.split')} is neither shares nor numbers of images",
            found=split,
            expected="three shares that sum to 1, or three whole numbers",
        )
    if not split[0] or not split[1]:
        raise UsageError(
            f"{flag('data.split')} leaves no images to train or to validate on",
            found=split,
            expected="train and val above 0",
        )
    if shares:
        val, test = (int(images * part + 0.5) for part in split[1:])
        val = max(val, 1)
    else:
        val, test = int(split[1]), int(split[2])
    test = 0 if only_val else test
    train = images - val - test if shares or only_val else int(split[0])
    if train < 1 or train + val + test > images:
        raise InputError(
            "there are too few images for the split",
            found=f"{images} images to split",
            expected=f"{train:,} train, {val:,} val and {test:,} test",
            fix=f"a smaller {flag('data.split')}",
        )
    return {"train": train, "val": val, "test": test}


def _draw(pool: Sequence[Item], wanted: Mapping[Split, int], seed: int) -> dict[str, Split]:
    """Draw the split of items by name: every class in proportion, totals exact.

    Each class keeps at least one training image.
    """
    classes: dict[str, list[Item]] = defaultdict(list)
    for item in pool:
        classes[item.label or ""].append(item)
    left = {name: sorted(items, key=_order(seed)) for name, items in sorted(classes.items())}
    sizes = {name: len(items) for name, items in left.items()}
    drawn: dict[str, Split] = {}
    for split in ("val", "test", "train"):
        spare = 0 if split == "train" else 1
        room = {name: len(items) - spare for name, items in left.items()}
        weights = sizes if split != "train" else {name: len(items) for name, items in left.items()}
        for name, count in _in_proportion(wanted[split], weights, room).items():
            drawn |= {item.name: split for item in left[name][:count]}
            del left[name][:count]
    return drawn


def _order(seed: int) -> Callable[[Item], bytes]:
    return lambda item: hashlib.sha256(
        f"{seed}\0{item.name}".encode("utf-8", "surrogateescape")
    ).digest()


def _in_proportion(
    total: int, weights: Mapping[str, int], room: Mapping[str, int]
) -> dict[str, int]:
    """Share out a whole total by weight, largest remainder first, within the room of each.

    >>> _in_proportion(4, {"a": 5, "b": 5, "c": 1}, {"a": 4, "b": 4, "c": 0})
    {'a': 2, 'b': 2, 'c': 0}
    """
    whole = sum(weights.values())
    shares = {name: min(total * weight // whole, room[name]) for name, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda name: (-(total * weights[name] % whole), name))
    missing = total - sum(shares.values())
    while missing:
        open_ones = [name for name in by_remainder if shares[name] < room[name]][:missing]
        if not open_ones:
            raise InputError(
                "there are too few images for the split",
                found=f"{whole} images in {len(weights)} classes",
                expected="a training image left in every class",
                fix=f"a smaller {flag('data.split')}",
            )
        for name in open_ones:
            shares[name] += 1
        missing -= len(open_ones)
    return shares


def split_counts(assigned: Sequence[AssignedItem]) -> dict[Split, dict[str, int]]:
    """Count the images of each class in each split; unlabelled ones under ''."""
    table: dict[Split, dict[str, int]] = {split: defaultdict(int) for split in SPLITS}
    for _, split, label in assigned:
        table[split][label or ""] += 1
    return {split: dict(sorted(classes.items())) for split, classes in table.items()}
