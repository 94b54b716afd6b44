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
        exact = not _are_shares(settings.split)
        drawn = _draw(pool, wanted, settings.split_seed, exact=exact)
        drawn |= {item.name: "test" for item in source.items if item.label is None}
    else:
        drawn = {item.name: item.split for item in source.items if item.split}
        if "val" not in given:
            train = [item for item in source.items if item.split == "train"]
            val = _counts(settings.split, len(train), only_val=True)
            drawn |= _draw(train, val, settings.split_seed, exact=not _are_shares(settings.split))
    hide = settings.test_labels == "hide"
    return [
        AssignedItem(item, split, None if hide and split == "test" else item.label)
        for item in source.items
        if (split := drawn.get(item.name))
    ]


def _are_shares(split: Sequence[float]) -> bool:
    return abs(sum(split) - 1) < 1e-6


def _counts(split: Sequence[float], images: int, *, only_val: bool = False) -> dict[Split, int]:
    """Return the number of images of each split: exactly the whole numbers, or the shares rounded."""
    shares = _are_shares(split)
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


def _draw(
    pool: Sequence[Item], wanted: Mapping[Split, int], seed: int, *, exact: bool
) -> dict[str, Split]:
    """Draw the split of items by name: every class in proportion, totals exact where numbers were asked for.

    A class with an image for each split gives one to each, so that every split can measure it; beyond shares
    this adds to val and test. Each class keeps at least one training image.
    """
    classes: dict[str, list[Item]] = defaultdict(list)
    for item in pool:
        classes[item.label or ""].append(item)
    left = {name: sorted(items, key=_order(seed)) for name, items in sorted(classes.items())}
    sizes = {name: len(items) for name, items in left.items()}
    drawn: dict[str, Split] = {}
    measured: tuple[Split, ...] = tuple(split for split in ("val", "test") if wanted[split])
    large = [name for name, size in sizes.items() if size > len(measured)]
    for place, split in enumerate(measured):
        least = dict.fromkeys(large if wanted[split] >= len(large) or not exact else (), 1)
        later = 1 + sum(wanted[s] >= len(large) for s in measured[place + 1 :])
        spare = {name: later if name in least else 1 for name in sizes}
        room = {name: len(items) - spare[name] for name, items in left.items()}
        shares = _in_proportion(wanted[split], sizes, room)
        _raise_to(least, shares, sizes, exact=exact)
        for name, count in shares.items():
            drawn |= {item.name: split for item in left[name][:count]}
            del left[name][:count]
    rest = {name: len(items) for name, items in left.items()}
    total = wanted["train"] if exact else sum(rest.values())
    for name, count in _in_proportion(total, rest, rest).items():
        drawn |= {item.name: "train" for item in left[name][:count]}
    return drawn


def _raise_to(
    least: Mapping[str, int], shares: dict[str, int], weights: Mapping[str, int], *, exact: bool
) -> None:
    """Raise shares to what each class must give; where the total is exact, others give it up.

    >>> shares = {"a": 4, "b": 0}
    >>> _raise_to({"a": 1, "b": 1}, shares, {"a": 40, "b": 3}, exact=True)
    >>> shares
    {'a': 3, 'b': 1}
    """
    total, whole = sum(shares.values()), sum(weights.values())
    shares |= {name: max(shares[name], count) for name, count in least.items()}
    while exact and sum(shares.values()) > total:
        over = {n: whole * s - total * weights[n] for n, s in shares.items() if s > least.get(n, 0)}
        shares[max(over, key=lambda name: (over[name], name))] -= 1


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


def missing_classes(
    counts: Mapping[Split, Mapping[str, int]], classes: Sequence[str]
) -> dict[Split, list[str]]:
    """Name the classes without an image, for each split that has labelled images."""
    found = {
        split: [name for name in classes if not table.get(name)]
        for split, table in counts.items()
        if any(count for name, count in table.items() if name)
    }
    return {split: names for split, names in found.items() if names}


def split_counts(assigned: Sequence[AssignedItem]) -> dict[Split, dict[str, int]]:
    """Count the images of each class in each split; unlabelled ones under ''."""
    table: dict[Split, dict[str, int]] = {split: defaultdict(int) for split in SPLITS}
    for _, split, label in assigned:
        table[split][label or ""] += 1
    return {split: dict(sorted(classes.items())) for split, classes in table.items()}
