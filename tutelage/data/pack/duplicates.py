"""Find images stored more than once: in train and again in val or test, or under two labels."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.data.readers.source import SPLITS

_TRAIN = SPLITS.index("train")


class Duplicates(NamedTuple):
    """Rows with the same stored pixels."""

    groups: list[list[int]]
    """Groups of two rows or more, ascending."""
    leaking: frozenset[int]
    """Rows of val and test whose pixels are also in train."""
    contradicting: frozenset[int]
    """Labelled rows whose pixels also have another label."""

    def partners(self) -> dict[int, int]:
        """Map each row in a group to the first of its group; the first one to the second."""
        return {
            row: group[1] if row == group[0] else group[0] for group in self.groups for row in group
        }


def find_duplicates(
    keys: NDArray[np.int64], labels: NDArray[np.int64], splits: NDArray[np.uint8]
) -> Duplicates:
    """Find rows with equal keys, given keys, labels (-1 = unlabelled) and splits of all images, each [N]."""
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys.tolist()):
        rows_of[key].append(row)
    groups = [rows for rows in rows_of.values() if len(rows) > 1]
    leaking: set[int] = set()
    contradicting: set[int] = set()
    for group in groups:
        if any(splits[row] == _TRAIN for row in group):
            leaking |= {row for row in group if splits[row] != _TRAIN}
        labelled = [row for row in group if labels[row] >= 0]
        if len({int(labels[row]) for row in labelled}) > 1:
            contradicting |= set(labelled)
    return Duplicates(groups, frozenset(leaking), frozenset(contradicting))
