"""The contents of a pack's files apart from the pixels: arrays, tables, manifest."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.config.data import DataConfig
from tutelage.config.schema import to_table
from tutelage.data.pack.channel_stats import channel_mean_std
from tutelage.data.pack.duplicates import Duplicates, find_duplicates
from tutelage.data.pack.entries import StoredEntry
from tutelage.data.pack.pack import FORMAT, pack_fingerprint
from tutelage.data.readers.source import SPLITS, Source
from tutelage.data.split import AssignedItem
from tutelage.storage.checksums import Sums, seal
from tutelage.text import escape, escape_csv


class PackedItem(NamedTuple):
    """An image of the pack; its pixels are on disk already."""

    assigned: AssignedItem
    image: StoredEntry


@dataclass(frozen=True, slots=True)
class PackContents:
    """What is known once images are decoded."""

    source: Source
    settings: DataConfig
    kept: Sequence[PackedItem]
    """Images of the pack, in order."""
    quarantine: Sequence[tuple[str, str]]
    """(file, reason) of those set aside."""

    def files(self) -> dict[str, bytes]:
        """Return the small files by name."""
        labels, keys, splits = self._arrays()
        return {
            "labels.bin": labels.tobytes(),
            "keys.bin": keys.tobytes(),
            "splits.bin": splits.tobytes(),
            "images.csv": self._images(self._overlap()),
            "quarantine.csv": _csv(("file", "reason"), self.quarantine),
        }

    def manifest(self, sums: Sums) -> bytes:
        """Return the sealed manifest, given the checksums of the small files."""
        labels, keys, splits = self._arrays()
        overlap = self._overlap()
        in_split = [splits == place for place in range(len(SPLITS))]
        train = [one.image.sums for one in self.kept if one.assigned.split == "train"]
        mean, std = channel_mean_std(train, len(train) * math.prod(self.settings.shape[:2]))
        settings = to_table(self.settings)
        for place in ("dir", "images"):
            settings.pop(place, None)
        plain: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": pack_fingerprint(
                self.settings, self.source.classes, keys, labels, splits
            ),
            "source_fingerprint": self.source.fingerprint(self.settings),
            "count": len(self.kept),
            "image_size": self.settings.image_size,
            "classes": list(self.source.classes),
            "splits": {name: int(rows.sum()) for name, rows in zip(SPLITS, in_split, strict=True)},
            "labelled": {
                name: int((labels[rows] >= 0).sum())
                for name, rows in zip(SPLITS, in_split, strict=True)
            },
            "mean": mean,
            "std": std,
            "source": {**self.source.description, "ignored": dict(self.source.ignored)},
            "settings": settings,
            "notes": dict(Counter(note for one in self.kept for note in one.image.notes)),
            "leakage": len(overlap.leaking),
            "label_conflicts": len(overlap.contradicting),
            "duplicates": sum(len(group) - 1 for group in overlap.groups),
            "quarantined": len(self.quarantine),
            "files": sums,
        }
        return seal(dict(sorted(plain.items())))

    def _arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
        index = {name: place for place, name in enumerate(self.source.classes)}
        labels = [index.get(one.assigned.label or "", -1) for one in self.kept]
        splits = [SPLITS.index(one.assigned.split) for one in self.kept]
        return (
            np.array(labels, np.int64),
            np.array([one.image.key for one in self.kept], np.int64),
            np.array(splits, np.uint8),
        )

    def _overlap(self) -> Duplicates:
        labels, keys, splits = self._arrays()
        return find_duplicates(keys, labels, splits)

    def _images(self, overlap: Duplicates) -> bytes:
        elsewhere = overlap.partners()
        names = [escape(one.assigned.item.name) for one in self.kept]
        rows = []
        for row, ((_, split, label), image) in enumerate(self.kept):
            notes = list(image.notes)
            if row in overlap.leaking:
                notes.append("pixels also in train")
            if row in overlap.contradicting:
                notes.append("pixels also under another label")
            if row in elsewhere:
                notes.append(f"same pixels as {names[elsewhere[row]]}")
            rows.append(
                (row, split, label or "", names[row], image.width, image.height, "; ".join(notes))
            )
        return _csv(("id", "split", "class", "file", "width", "height", "notes"), rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([escape_csv(str(value)) for value in row] for row in rows)
    return text.getvalue().encode()
