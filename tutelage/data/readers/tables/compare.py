"""Hold a table against the class folders it lies beside: between two readings that differ nobody guesses."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.source import Source
from tutelage.data.readers.tables.choose import Offer
from tutelage.data.readers.tables.read import SourceTable, read_parts
from tutelage.errors import InputError, TutelageError


def require_agreement(
    source: Source, offers: Sequence[Offer], settings: DataConfig, where: Path
) -> Source:
    """Compare class folders with the tables beside them; say so where a table has splits that they lack.

    A table counts if the name of a column says that it holds labels, and if it names most of the images.

    Raises:
        InputError: it groups the images otherwise than the folders do.
    """
    classes = {item.name: item.label for item in source.items if item.label is not None}
    for offer in offers:
        if "submission" in offer.path.name.lower():
            continue
        try:
            files = offer.top or offer.files
            tabled = read_parts([SourceTable(offer.read(), files)], settings, {}, where=offer.path)
        except TutelageError:
            continue  # it is no table of these images
        said = " ".join(tabled.description["reading"])
        labels = {item.name: item.label for item in tabled.items if item.label is not None}
        both = classes.keys() & labels.keys()
        if "label: " not in said or "by its name" not in said or 2 * len(both) < len(classes):
            continue
        if not _same_groups([(classes[name], labels[name]) for name in sorted(both)]):
            kind = "classes" if source.description["layout"] == "classes" else "splits"
            raise InputError(
                "a table and the folders it lies in group the images differently",
                where=where,
                found=f"{', '.join(source.classes[:5])} by the folders, "
                f"{', '.join(tabled.classes[:5])} by {offer.path.name}",
                fix=f"{offer.path} in place of the folder for the labels of the table, or "
                f"{flag('data.layout')} {kind} for those of the folders",
            )
        given = {item.split for item in tabled.items} - {None}
        if given and not any(item.split for item in source.items):
            reading = source.description.get("reading", "")
            note = f"the splits of {offer.path.name} are not used: give it in place of the folder"
            source.description["reading"] = f"{reading}; {note}"
    return source


def _same_groups(pairs: Sequence[tuple[str | None, str | None]]) -> bool:
    """Return whether two labellings group alike, whatever they call the groups, but for 1 % of slips."""
    counts = Counter(pairs)
    best: dict[str | None, str | None] = {}
    for (one, other), _ in sorted(counts.items(), key=lambda pair: pair[1]):
        best[one] = other  # the most frequent comes last
    agree = sum(counts[one, other] for one, other in best.items())
    return len(set(best.values())) == len(best) and agree >= 0.99 * len(pairs)
