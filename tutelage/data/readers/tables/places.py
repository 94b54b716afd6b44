"""Where several files fit a row of a table: the place that the table as a whole means."""

from collections import Counter
from typing import NamedTuple

from tutelage.data.readers.listing import File
from tutelage.data.readers.source import Split, Unreadable
from tutelage.data.readers.tables.words import split_in

_COMPARED = 10
"""Files whose contents are compared before others of equal sizes are taken for copies, too."""


class Place(NamedTuple):
    """Where a file is, apart from what its row says of it."""

    folder: str
    ending: str


def agree_on_places(rows: dict[int, dict[Place, File]], prefer: Split | None) -> None:
    """Leave one file to each row: that of the split's folder, not of test, in the place that holds most rows.

    A place that loses most of its rows so loses all: a training image that is missing is not the test image
    of the same number.
    """
    held = Counter(place for below in rows.values() for place in below)
    lost: Counter[Place] = Counter()

    def rank(place: Place) -> tuple[bool, bool, int]:
        split = split_in(place.folder)
        return (prefer is not None and split == prefer, split != "test", held[place])

    for below in rows.values():
        best = max(map(rank, below), default=None)
        lost.update(place for place in below if rank(place) != best)
    losers = {place for place, count in lost.items() if 2 * count > held[place]}
    for row, below in rows.items():
        kept = {place: file for place, file in below.items() if place not in losers}
        best = max(map(rank, kept), default=None)
        rows[row] = {place: file for place, file in kept.items() if rank(place) == best}


def take_one_of_copies(rows: dict[int, dict[Place, File]]) -> None:
    """Where all files that are left side by side are copies of each other, leave the first by name.

    HAM10000 comes with its folders twice. Sizes are compared of all files, and contents of a few.
    """
    several = [row for row, below in rows.items() if len(below) > 1]
    step = max(1, len(several) // _COMPARED)
    for number, row in enumerate(several):
        files = rows[row].values()
        if len({file.stamp.partition(":")[0] for file in files}) > 1:
            return
        try:
            if number % step == 0 and len({file.read() for file in files}) > 1:
                return
        except Unreadable:
            continue
    for row in several:
        place, file = min(rows[row].items(), key=lambda pair: pair[1].name)
        rows[row] = {place: file}
