"""Which column of a table is the split, and what its values mean."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tutelage.config.schema import flag
from tutelage.data.readers.source import Split
from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.profile import Profile
from tutelage.data.readers.tables.table import Table, ask_for_column
from tutelage.errors import InputError
from tutelage.text import escape


def find_split(
    table: Table, profiles: Sequence[Profile], chosen: tuple[int, ...] | None, taken: set[int]
) -> tuple[int | None, Mapping[str, Split]]:
    """Find the column of splits of a table, and what its values mean; none: (None, {}).

    Args:
        table: any.
        profiles: of its columns.
        chosen: the column that a person has chosen; (): none is one.
        taken: columns that are something else.

    Raises:
        InputError: it is not clear, or a value is the name of no split.
    """
    if chosen is not None:
        if not chosen:
            return None, {}
        profile = profiles[chosen[0]]
        known = words.split_values(table.columns[chosen[0]], profile.values or ())
        if known is None:
            raise _unknown_split(table, chosen[0], profile)
        return chosen[0], known
    found: dict[int, Mapping[str, Split]] = {}
    for place, name in enumerate(table.columns):
        values = profiles[place].values
        if place in taken or values is None or len(values) > 50:
            continue
        squeezed = words.squeeze(name)
        meant = words.split_values(name, values)
        named = squeezed in words.SPLITS_STRONG | words.SPLITS_WEAK
        if meant and (named or (len(set(meant.values())) > 1 and squeezed not in words.LABELS)):
            found[place] = meant
        elif squeezed in words.SPLITS_STRONG and any(values):
            raise _unknown_split(table, place, profiles[place])
    by_name = [
        place for place in found if words.squeeze(table.columns[place]) in words.SPLITS_STRONG
    ]
    first = by_name or list(found)
    if len(first) > 1:
        shown = {place: list(filter(None, profiles[place].values or ())) for place in first}
        raise ask_for_column(
            "it is not clear which column is the split", table, first, "split", shown
        )
    return (first[0], found[first[0]]) if first else (None, {})


def _unknown_split(table: Table, place: int, profile: Profile) -> InputError:
    values = profile.values or Counter[str]()
    unknown = [value for value in values if value and not words.split_word(value)]
    line = profile.lines.get(unknown[0]) if unknown else None
    return InputError(
        "an unknown split (train, val or test)",
        where=f"{table.where}, {table.unit} {line}" if line else table.where,
        found=f"{escape(table.columns[place])}: {', '.join(map(escape, unknown[:8]))}",
        fix=f"correct the line, or {flag('data.columns')} split= to pass over the column",
    )
