"""Which column is the label, or which 0/1 columns are the classes of a one-hot table."""

from collections.abc import Collection, Sequence

from tutelage.config.schema import flag
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.profile import Profile
from tutelage.data.readers.tables.table import Table, ask_for_column, column_flags
from tutelage.errors import InputError
from tutelage.text import escape

_MOST_HOT = 100
"""0/1 columns of which parts are tried; of more, all are taken together."""


def find_labels(
    table: Table,
    profiles: Sequence[Profile],
    chosen: tuple[int, ...] | None,
    taken: Collection[int],
    *,
    several: bool,
) -> tuple[tuple[int, ...], str]:
    """Find the label columns of a table and say why they were taken; none: ((), "").

    Args:
        table: any.
        profiles: of its columns.
        chosen: the columns that a person has chosen.
        taken: columns that are something else.
        several: whether rows with several labels are dealt with later.

    Raises:
        InputError: it is not clear, or the images have several labels each.
    """
    if chosen is not None:
        if len(chosen) > 1:
            _require_binary(table, profiles, chosen)
        return chosen, "chosen"
    rest = [place for place in range(len(table.columns)) if place not in taken]
    usable = [place for place in rest if not profiles[place].fractions and profiles[place].filled]
    ranks = {place: _rank(table.columns[place]) for place in usable}
    best = max(ranks.values(), default=0)
    if best:
        named = [place for place in usable if ranks[place] == best]
        named = [place for place in named if profiles[place].classlike] or named
        if len(named) > 1 or best == 2 or profiles[named[0]].classlike:
            return _one_of(table, profiles, named), "by its name"
    if hot := _one_hot(table, profiles, rest, several=several):
        return hot, "one-hot: the column with the 1 is the class"
    few = [place for place in usable if profiles[place].classlike]
    likely = [place for place in few if not _seldom(table.columns[place])] or few
    if len(likely) == 1 and words.parts_of(table.columns[likely[0]]) & words.LABEL_HINTS:
        return (likely[0],), "by its name"
    _refuse_many_binary(table, profiles, usable)
    if not likely:
        return (), ""
    return _one_of(table, profiles, likely), "the only column of few, repeated values"


def _rank(name: str) -> int:
    """Return 2 for a usual name of a label, 1 for a name that has such a word, else 0."""
    if words.squeeze(name) in words.LABELS:
        return 2
    parts = words.parts_of(name)
    files = words.PATH_PARTS - {"id", "idx", "index", "name"}
    return int(bool(parts & (words.LABELS - {"y"}) and not parts & files))


def _seldom(name: str) -> bool:
    squeezed = words.squeeze(name)
    return (
        not squeezed
        or squeezed.startswith("unnamed")
        or squeezed in words.SPLITS_WEAK | {"x", "y", "w", "h"}
        or bool(words.parts_of(name) & words.SELDOM_LABELS)
    )


def _one_of(table: Table, profiles: Sequence[Profile], places: Sequence[int]) -> tuple[int, ...]:
    """Return the column of several that say the same, names before numbers.

    Raises:
        InputError: they do not say the same.
    """
    if len(places) > 1 and not _say_the_same(table, places):
        cells = {place: profiles[place].distinct for place in places}
        what = "it is not clear which column is the label"
        raise ask_for_column(what, table, places, "label", cells)
    return (min(places, key=lambda place: (profiles[place].whole, place)),)


def _say_the_same(table: Table, places: Sequence[int]) -> bool:
    """Return whether each value of one column goes with one value of every other."""
    there: dict[tuple[int, str], tuple[str, ...]] = {}
    for row in table.rows():
        cells = tuple(row.cells[place] for place in places)
        for place, cell in zip(places, cells, strict=True):
            if there.setdefault((place, cell), cells) != cells:
                return False
    return True


def _one_hot(
    table: Table, profiles: Sequence[Profile], rest: Sequence[int], *, several: bool
) -> tuple[int, ...]:
    """Return the neighbouring 0/1 columns of which every row has at most one 1; none: ().

    Raises:
        InputError: most rows have one, others several: images of several labels.
    """
    runs: list[list[int]] = []
    for place in rest:
        profile = profiles[place]
        if profile.binary and profile.filled == profile.rows and not _seldom(table.columns[place]):
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
    run = max(runs, key=len, default=[])
    if len(run) < 2:
        return ()
    run = _all_but_strangers(table, run)
    ones, more, line = 0, 0, 0
    for row in table.rows():
        count = sum(row.cells[place].startswith("1") for place in run)
        ones += count == 1
        if count > 1:
            more, line = more + 1, line or row.line
    if more and not several:
        raise InputError(
            "the images have several labels each",
            where=f"{table.where}, {table.unit} {line}",
            found=f"{more:,} rows with more than one 1 among "
            + ", ".join(table.columns[place] for place in run[:8]),
            expected="one class for each image: networks here answer one of several classes",
            fix=f"{flag('data.multi_label')} drop to leave these rows out, or "
            f"{column_flags('label', [table.columns[run[0]]])} to learn one column, yes or no",
        )
    return tuple(run) if ones else ()


def _all_but_strangers(table: Table, run: list[int]) -> list[int]:
    """Leave away 0/1 columns beside a one-hot block, such as `male`: the longest part with one 1 in each row.

    It must be more than half of the columns, and three at least, so that a pair of opposites is none.
    """
    least = max(3, len(run) // 2 + 1)
    parts = {
        (first, last)
        for first in range(len(run))
        for last in range(first + least, len(run) + 1)
        if len(run) <= _MOST_HOT
    }
    for row in table.rows():
        ones = [row.cells[place].startswith("1") for place in run]
        parts = {(first, last) for first, last in parts if sum(ones[first:last]) == 1}
        if not parts:
            return run
    first, last = max(parts, key=lambda part: part[1] - part[0], default=(0, len(run)))
    return run[first:last]


def _require_binary(table: Table, profiles: Sequence[Profile], places: Sequence[int]) -> None:
    for place in places:
        if not profiles[place].binary:
            raise InputError(
                "several label columns must hold 0 and 1",
                where=table.where,
                found=f"{table.columns[place]}: "
                + ", ".join(map(escape, profiles[place].distinct[:5])),
                fix=f"{flag('data.columns')} with one label column",
            )


def _refuse_many_binary(table: Table, profiles: Sequence[Profile], places: Sequence[int]) -> None:
    """Refuse a table of yes-or-no columns, -1 and 1, or with empty cells: several labels each."""
    yes_no = {"0", "1", "-1", "0.0", "1.0", "-1.0", "True", "False", "true", "false"}
    marked = [
        place
        for place in places
        if profiles[place].distinct
        and yes_no.issuperset(profiles[place].distinct)
        and not _seldom(table.columns[place])
    ]
    if len(marked) > 2:
        raise InputError(
            "the images have several labels each",
            where=table.where,
            found=f"{len(marked)} columns of yes and no, such as "
            + ", ".join(table.columns[place] for place in marked[:5]),
            expected="one class for each image: networks here answer one of several classes",
            fix=f"{column_flags('label', [table.columns[marked[0]]])} to learn one of them",
        )
