"""From tables to a source: every row becomes an image with label and split, or is set aside with a reason."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.layout import finish_source
from tutelage.data.readers.listing import Listing
from tutelage.data.readers.source import Item, Source, Split
from tutelage.data.readers.tables import labels
from tutelage.data.readers.tables.choice import Choice, read_choice
from tutelage.data.readers.tables.class_names import names_beside
from tutelage.data.readers.tables.columns import Roles, find_columns
from tutelage.data.readers.tables.files import Files, Missing
from tutelage.data.readers.tables.merge import merge_rows
from tutelage.data.readers.tables.profile import Profile, profile_columns, whole_text
from tutelage.data.readers.tables.rows import PlacedRow, place_rows
from tutelage.data.readers.tables.table import Table
from tutelage.data.readers.tables.words import split_in
from tutelage.errors import InputError


class SourceTable(NamedTuple):
    """One table of a source."""

    table: Table
    files: Files
    split: Split | None = None
    """That all of its images are in, as the name of the table or of its folder says."""
    prefix: str = ""
    """Goes before the names of its images, so that those of several folders differ."""
    labelled: bool = True
    """Whether it must have labels; otherwise it lists images of a split."""


class _Understood(NamedTuple):
    part: SourceTable
    roles: Roles
    profile: Profile | None
    """Of the label column, where there is one only."""


def read_parts(
    parts: Sequence[SourceTable],
    settings: DataConfig,
    about: dict[str, Any],
    *,
    where: Path,
    beside: Sequence[Item] = (),
    listing: Listing | None = None,
    told: Sequence[str] = (),
) -> Source:
    """Build a source from one table or several.

    Args:
        parts: the tables.
        settings: of the data.
        about: description of the source.
        where: for messages.
        beside: unlabelled test images, unless a table names them.
        listing: what is set aside or passed over already.
        told: what was understood already, for `check`.

    Raises:
        InputError: a table is not clear, too many of its files are missing, or a row cannot be used.
    """
    choice, listing = read_choice(settings.columns), listing or Listing()
    understood: list[_Understood] = []
    for part in parts:
        understood.append(_understand(part, _like(understood, part, choice), settings))
    names, order, source_of_names = _class_names(understood)
    separator = labels.separator_of(sorted({v for one in understood for v in _values(one)}))
    tables: list[list[PlacedRow]] = []
    for part, roles, profile in understood:
        reader = labels.label_reader(
            part.table, roles.labels, profile, names, separator, settings.multi_label
        )
        tables.append(
            place_rows(part.table, part.files, part.split, part.prefix, roles, reader, listing)
        )
    rows = merge_rows(tables, listing)
    _require_files(rows, settings, parts)
    _count_others(rows, parts, beside, listing)
    items = _items(rows, listing, split_by_folder(rows))
    there = {item.name for item in items}
    beside = [item for item in beside if item.name not in there]
    if beside:
        items = [item._replace(split=item.split or "train") for item in items]
        told = [*told, f"test: {len(beside):,} images without labels, in no table"]
    splits = {str(item.split) for item in items}
    if "train" not in splits and not splits <= {"None", "test"}:
        raise InputError(
            "there are no images to train on",
            where=where,
            found=f"rows of {' and '.join(sorted(splits))} alone",
            expected="rows of train",
            fix=f"{flag('data.columns')} split= to pass over the column of splits",
        )
    reading = [line for one in understood for line in _told(one, parts)]
    layout = "train, val, test" if any(item.split for item in items) else "classes"
    source = finish_source(
        [*items, *beside],
        listing,
        {**about, "layout": layout, "reading": [*told, *reading, *source_of_names]},
        where=where,
    )
    ordered = tuple(name for name in order if name in source.classes)
    return replace(source, classes=ordered) if ordered else source


def _like(before: Sequence[_Understood], part: SourceTable, choice: Choice) -> Choice:
    """Return the choice of columns for a table of test images: the others' label column, if it has it."""
    if not part.labelled:
        return Choice({**choice.columns, "label": ()})
    if part.split != "test" or not before or "label" in choice.columns:
        return choice
    first = before[0]
    names = tuple(first.part.table.columns[place] for place in first.roles.labels)
    return Choice(
        {**choice.columns, "label": names if set(names) <= set(part.table.columns) else ()}
    )


def _understand(part: SourceTable, choice: Choice, settings: DataConfig) -> _Understood:
    roles = find_columns(
        part.table,
        part.files,
        choice,
        labelled=part.labelled,
        several=settings.multi_label is not None,
    )
    profile = profile_columns(part.table)[roles.labels[0]] if len(roles.labels) == 1 else None
    return _Understood(part, roles, profile)


def _values(one: _Understood) -> Sequence[str]:
    return one.profile.distinct if one.profile else ()


def _class_names(understood: Sequence[_Understood]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return class names by number, in the order of the numbers, and what to say; empty: labels are names."""
    with_labels = [one for one in understood if one.profile and one.profile.distinct]
    if not with_labels or not all(one.profile and one.profile.whole for one in with_labels):
        return {}, [], []
    numbers = {str(int(whole_text(value))) for one in with_labels for value in _values(one)}
    for part, roles, _ in with_labels:
        given = part.table.class_names.get(part.table.columns[roles.labels[0]])
        if given:
            names = labels.numbered(given)
            found = {str(int(n)): name for n, name in names.items() if n in numbers}
            if numbers - {"-1"} <= set(names):  # datasets writes -1 for unlabelled
                return (
                    {**found, "-1": ""},
                    list(names.values()),
                    ["class names from the table itself"],
                )
    first = with_labels[0].part.table.where
    ordered = sorted(map(int, numbers))
    if first.parent.is_dir() and (beside := names_beside(first.parent, first, ordered)):
        listed = sorted(beside.names.items(), key=lambda pair: int(pair[0]))
        return dict(beside.names), [name for _, name in listed], [beside.told]
    return {}, [], []


def split_by_folder(rows: Sequence[PlacedRow]) -> bool:
    """Return whether all files are in folders of splits, train and another, and no row says its split."""
    if any(row.split for row in rows):
        return False
    tops = {
        split_in(row.found.name.split("/")[0]) if "/" in row.found.name else None for row in rows
    }
    return None not in tops and "train" in tops and len(tops) > 1


def _items(rows: Sequence[PlacedRow], listing: Listing, by_folder: bool) -> list[Item]:
    items = []
    for row in rows:
        found = row.found.file
        if isinstance(found, Missing):
            listing.refused.append((row.found.name, found.reason))
        elif isinstance(found, str):
            listing.refused.append((row.found.name, found))
        else:
            split = split_in(row.found.name.split("/")[0]) if by_folder else row.split
            if row.label is None and split in ("train", "val"):
                split = "test"  # an image without a label is there to be predicted
            items.append(Item(row.found.name, split, row.label, found.read, found.stamp))
    return items


def _count_others(
    rows: Sequence[PlacedRow],
    parts: Sequence[SourceTable],
    beside: Sequence[Item],
    listing: Listing,
) -> None:
    """Count the images that no table names, where all files were listed anyway."""
    named = {row.found.name for row in rows} | {item.name for item in beside}
    there = {f"{part.prefix}{file.name}" for part in parts for file in part.files.scanned}
    if others := len(there - named):
        listing.ignored["image in no row of the table"] += others


def _require_files(
    rows: Sequence[PlacedRow], settings: DataConfig, parts: Sequence[SourceTable]
) -> None:
    """Refuse tables of which more files are missing than may be unreadable."""
    missing = [row for row in rows if isinstance(row.found.file, Missing)]
    if not missing or len(missing) <= settings.max_unreadable * len(rows):
        return
    first = missing[0]
    reason = first.found.file
    looked = dict.fromkeys(str(part.files.root) for part in parts)
    raise InputError(
        f"{len(missing):,} of {len(rows):,} files of the table are missing: "
        f"{reason.reason if isinstance(reason, Missing) else reason}",
        where=f"{first.table.where}, {first.table.unit} {first.line}",
        found=first.path,
        expected=f"a file in {', '.join(looked)}, or in a folder below",
        fix=f"{flag('data.images')} FOLDER, the folder the images are in, or "
        f"{flag('data.max_unreadable')} SHARE to go on without those files",
    )


def _told(one: _Understood, parts: Sequence[SourceTable]) -> list[str]:
    """Return what was understood of one table, its name first where there are several."""
    name = f"{one.part.table.where.name}: " if len(parts) > 1 else ""
    split = [f"split: {one.part.split}, by its name"] if one.part.split else []
    return [f"{name}{line}" for line in (one.part.table.format, *one.roles.told, *split)]
