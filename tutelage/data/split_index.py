"""Which images a run was trained, validated and tested on: known again by their pixels.

A figure over images that a network was trained on says nothing about others. What measures a network asks
here what its run did with each image, whatever folder or name the image has by now.
"""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tutelage.data.pack.pack import Pack
from tutelage.data.readers.source import SPLITS, Split
from tutelage.text import escape, unescape_csv

FIELDS = ("id", "split", "class", "file", "key")
SPLIT_NAMES: dict[str, str] = {"train": "training", "val": "validation", "test": "test"}
"""The splits in words."""


class SplitIndex(NamedTuple):
    """The split of each image of a run, by the key of its pixels (see `pixel_key`)."""

    places: dict[int, list[tuple[Split, str]]]
    """(split, file) of each image with these pixels."""

    def split_of(self, key: int, file: str = "") -> Split | None:
        """Return the split of an image; None if the run never saw it.

        The same pixels may be in several splits: the file's name decides, else training comes first.
        """
        places = self.places.get(key, [])
        named = [split for split, name in places if name == file]
        found = named or [split for split, _ in places]
        return min(found, key=SPLITS.index, default=None)

    def trained_on(self, key: int) -> bool:
        """Tell whether the run was trained on an image with these pixels."""
        return any(split == "train" for split, _ in self.places.get(key, []))

    def files(self, split: Split) -> set[str]:
        """Return the files of a split, as the run's source named them."""
        return {file for all_ in self.places.values() for part, file in all_ if part == split}

    def count_splits(self, keys: Iterable[int]) -> dict[str, int]:
        """Count images by what the run did with them: train, val, test, unknown."""
        found: Counter[str] = Counter(self.split_of(key) or "unknown" for key in keys)
        return {name: found[name] for name in (*SPLITS, "unknown")}


def pack_counts(pack: Pack) -> dict[Split, dict[str, int]]:
    """Count the labelled images of each class in each split of a pack."""
    counts: dict[Split, dict[str, int]] = {}
    for split in SPLITS:
        labels = pack.labels[pack.rows(split)]
        found = np.bincount(labels[labels >= 0], minlength=len(pack.classes)).tolist()
        counts[split] = dict(zip(pack.classes, found, strict=True))
    return counts


def index_of_pack(pack: Pack) -> SplitIndex:
    """Index the images of a pack."""
    places: dict[int, list[tuple[Split, str]]] = {}
    rows = zip(pack.keys.tolist(), pack.splits.tolist(), pack.files(), strict=True)
    for key, split, file in rows:
        places.setdefault(key, []).append((SPLITS[split], escape(file)))
    return SplitIndex(places)


def write_split(pack: Pack, path: Path) -> None:
    """Write split.csv: the split, class, file and pixels' key of every image."""
    with (
        (pack.folder / "images.csv").open(newline="", encoding="utf-8") as read,
        path.open("w", newline="", encoding="utf-8") as write,
    ):
        writer = csv.DictWriter(write, FIELDS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row, key in zip(csv.DictReader(read), pack.keys.tolist(), strict=True):
            writer.writerow({**row, "key": f"{key:016x}"})


def read_split(path: Path) -> SplitIndex | None:
    """Read split.csv; None where it is absent, damaged or of a version that wrote no keys."""
    places: dict[int, list[tuple[Split, str]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                split = SPLITS[SPLITS.index(row["split"])]
                name = escape(unescape_csv(row["file"]))
                places.setdefault(int(row["key"], 16), []).append((split, name))
    except (OSError, KeyError, ValueError, TypeError, csv.Error):
        return None
    return SplitIndex(places)
