"""Check a source without training on it: what it contains, and what is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tutelage.config.data import DataConfig
from tutelage.data.decode.depth import Depth, DepthReport, describe_depths, examine
from tutelage.data.decode.loss import crop_warning
from tutelage.data.decode.prepare import map_items
from tutelage.data.pack.duplicates import find_duplicates
from tutelage.data.readers.listing import format_ignored
from tutelage.data.readers.source import SPLITS, Source, Split
from tutelage.data.split import assign_splits, missing_classes, split_counts
from tutelage.data.split_index import SPLIT_NAMES
from tutelage.text import escape

FEW = 10
"""A class with fewer training images than this is reported."""
_LISTED = 10
"""Files listed of each kind of problem."""


class ValueRange(NamedTuple):
    """Smallest, median and largest of some numbers; zeros if there are none."""

    smallest: int
    median: int
    largest: int


class CheckReport(NamedTuple):
    """The findings of `check_source`. Files are named as in the source, groups as lists of names."""

    description: Mapping[str, object]
    """Kind, name and layout of the source."""
    classes: tuple[str, ...]
    images: int
    counts: Mapping[Split, Mapping[str, int]]
    """Images of each class in each split as training would see them; unlabelled ones under ''."""
    widths: ValueRange
    heights: ValueRange
    notes: Mapping[str, int]
    """How often each decision was made while decoding, such as `grey`."""
    unreadable: list[tuple[str, str]]
    """(file, reason) of images that cannot be used."""
    duplicates: list[list[str]]
    """Groups of files with the same pixels."""
    across_splits: list[str]
    """Files of val and test whose pixels are also in train."""
    two_labels: list[str]
    """Files whose pixels also have another label."""
    tiny_classes: Mapping[str, int]
    """Classes with fewer than 10 training images, and how many."""
    missing: Mapping[Split, Sequence[str]]
    """Classes that a split has no image of: no figure over it says anything about them."""
    constant: list[str]
    """Files of one single colour."""
    ignored: Mapping[str, int]
    """How many files were skipped, by reason."""
    examples: Mapping[str, Sequence[str]]
    """The first names of those skipped, by reason."""
    cut: str | None = None
    """What cropping cuts off, where that is much."""
    depth: DepthReport | None = None
    """What is left of images of more than 8 bits."""

    @property
    def clean(self) -> bool:
        """Whether there is nothing a person should look at."""
        found = (
            self.unreadable,
            self.duplicates,
            self.two_labels,
            self.tiny_classes,
            self.missing,
            self.constant,
            self.cut,
            self.depth and self.depth.poor,
        )
        return not any(found)


def check_source(
    source: Source, settings: DataConfig, *, progress: Callable[[int, int], None] = lambda *_: None
) -> CheckReport:
    """Decode every image of a source, as packing would, and report; nothing is written."""
    assigned = assign_splits(source, settings)
    names, keys, labels, splits, sizes = [], [], [], [], []
    notes: Counter[str] = Counter()
    unreadable, constant, kept = list(source.refused), [], []
    index = {name: place for place, name in enumerate(source.classes)}
    depths: list[Depth] = []
    results = map_items(examine, (one.item for one in assigned), settings)
    for done, (one, (result, depth)) in enumerate(zip(assigned, results, strict=True), 1):
        depths += [depth] if depth else []
        name = escape(one.item.name)
        if isinstance(result, str):
            unreadable.append((name, result))
        else:
            kept.append(one)
            names.append(name)
            keys.append(result.key)
            labels.append(index.get(one.label or "", -1))
            splits.append(SPLITS.index(one.split))
            sizes.append((result.width, result.height))
            notes.update(result.notes)
            if (result.pixels == result.pixels[0, 0]).all():
                constant.append(name)
        progress(done, len(assigned))
    duplicates = find_duplicates(
        np.array(keys, np.int64), np.array(labels, np.int64), np.array(splits, np.uint8)
    )
    table = split_counts(kept)
    return CheckReport(
        description=source.description,
        classes=source.classes,
        images=len(kept),
        counts=table,
        widths=_range(width for width, _ in sizes),
        heights=_range(height for _, height in sizes),
        notes=dict(notes.most_common()),
        unreadable=sorted(unreadable),
        duplicates=[[names[row] for row in group] for group in duplicates.groups],
        across_splits=[names[row] for row in sorted(duplicates.leaking)],
        two_labels=[names[row] for row in sorted(duplicates.contradicting)],
        tiny_classes={
            name: table["train"].get(name, 0)
            for name in source.classes
            if table["train"].get(name, 0) < FEW
        },
        missing=missing_classes(table, source.classes),
        constant=constant,
        ignored=source.ignored,
        examples=source.examples,
        cut=crop_warning(sizes, settings),
        depth=describe_depths(depths),
    )


def format_check(report: CheckReport) -> list[str]:
    """Format a report as lines of text: all unusable files; other long lists are shortened, and marked so."""
    splits = [split for split in SPLITS if report.counts[split]]
    width = max(map(len, (*report.classes, "(unlabelled)")))
    reading = report.description.get("reading")
    lines = [
        f"{report.description.get('kind')} {report.description.get('name')}: "
        f"{report.images:,} images of {len(report.classes)} classes",
        *([f"read as {reading}"] if isinstance(reading, str) else []),
        f"width {_between(report.widths)}, height {_between(report.heights)} pixels",
        *_reading(report.description.get("reading")),
        "",
        f"{'class':<{width}}" + "".join(f"{split:>9}" for split in splits),
    ]
    for name in (*report.classes, ""):
        row = [report.counts[split].get(name, 0) for split in splits]
        if name or any(row):
            lines.append(f"{name or '(unlabelled)':<{width}}" + "".join(f"{n:>9,}" for n in row))
    lines += ["", *_counted("decided while decoding", report.notes)]
    lines += [f"passed over: {line}" for line in format_ignored(report.ignored, report.examples)]
    unreadable = [f"{name}: {why}" for name, why in report.unreadable]
    lines += _listed("cannot be used", unreadable, most=len(unreadable))
    lines += _listed("the same pixels more than once", [" = ".join(g) for g in report.duplicates])
    lines += _listed("in val or test, and in train too", report.across_splits)
    lines += _listed("the same pixels under another label", report.two_labels)
    lines += _listed("of one single colour", report.constant)
    few = [f"{name}: {count}" for name, count in report.tiny_classes.items()]
    lines += _listed(f"classes with fewer than {FEW} training images", few)
    for split, names in report.missing.items():
        lines += _listed(f"classes without a {SPLIT_NAMES[split]} image", names)
    lines += [line for line in (report.depth and report.depth.text, report.cut) if line]
    return [*lines, "nothing is wrong" if report.clean else ""]


def _range(numbers: Iterable[int]) -> ValueRange:
    ordered = sorted(numbers)
    return (
        ValueRange(ordered[0], ordered[len(ordered) // 2], ordered[-1])
        if ordered
        else ValueRange(0, 0, 0)
    )


def _between(found: ValueRange) -> str:
    if found.smallest == found.largest:
        return str(found.smallest)
    return f"{found.smallest} to {found.largest} (median {found.median})"


def _reading(lines: object) -> list[str]:
    """Return how a table was read, which only tables have."""
    return [f"  {escape(str(line))}" for line in lines] if isinstance(lines, list) else []


def _counted(title: str, found: Mapping[str, int]) -> list[str]:
    return (
        [f"{title}: " + ", ".join(f"{name} ({n:,})" for name, n in found.items())] if found else []
    )


def _listed(title: str, found: Sequence[str], most: int = _LISTED) -> list[str]:
    rest = len(found) - most
    more = [f"  and {rest:,} more"] if rest > 0 else []
    return (
        [f"{title}: {len(found):,}", *(f"  {one}" for one in found[:most]), *more] if found else []
    )
