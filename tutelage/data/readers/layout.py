"""Build a source from a listing: read what its folders are, and give each image its class and split.

    FOLDER/cat/1.jpg                  one folder per class; split by the settings
    FOLDER/train/cat/1.jpg            given splits under their usual names: train/, val/ and perhaps test/
    FOLDER/cat/train/1.jpg            given splits in each class folder
    FOLDER/test/7.jpg                 test images without class folders are unlabelled

Folders around all of it are passed through, and folders below a class folder belong to the class. The class
of an image is the name of its folder, by name in every split, never by position.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.copies import drop_copies
from tutelage.data.readers.file_labels import label_of, names_with_labels, read_file_names
from tutelage.data.readers.listing import LINK_OUT, File, Listing
from tutelage.data.readers.names import class_name, order_classes, same_class_key
from tutelage.data.readers.reading import EXPECTED, LayoutPart, Reading, read_folders
from tutelage.data.readers.reading_text import describe_reading
from tutelage.data.readers.source import Item, Source
from tutelage.data.readers.tree import Folder, folder_tree
from tutelage.errors import InputError
from tutelage.text import escape

_DEFAULT = DataConfig()


def infer_layout(
    listing: Listing, about: dict[str, Any], *, where: Path, settings: DataConfig = _DEFAULT
) -> Source:
    """Build a source from a listing.

    Raises:
        InputError: no images, one class, an empty class folder, a class that train lacks, or folders that can
            be read in no way or in two.
    """
    if not listing.files:
        raise no_images(listing, where)
    tree = drop_copies(listing, folder_tree(listing))
    reading = (
        read_file_names(listing, tree, where)
        if settings.label_from == "name"
        else _read_folders(listing, tree, settings, where)
    )
    items = _items(listing, reading)
    source = finish_source(items, listing, {**about, "layout": _layout(reading)}, where=where)
    source.description["reading"] = describe_reading(reading, source)
    return source


def no_images(listing: Listing, where: object) -> InputError:
    """Return the error for a source without an image that can be opened: what was seen instead."""
    seen = listing.passed_over()
    if listing.refused:
        name, reason = listing.refused[0]
        seen.append(f"not opened ({len(listing.refused):,}): {escape(name)}, {reason}")
    inner = next(iter(listing.archives), None)
    fix = f"the archive itself: {Path(str(where)) / inner}" if inner else None
    if any(reason == LINK_OUT for _, reason in listing.refused):
        fix = f"{flag('data.links')} follow, to read what the links lead to"
    return InputError(
        "there are no images",
        where=where,
        found="passed over: " + "; ".join(seen) if seen else "no files",
        expected=EXPECTED,
        fix=fix,
    )


def finish_source(
    items: list[Item], listing: Listing, about: dict[str, Any], *, where: Path
) -> Source:
    """Check the rules that hold for every source, and build it.

    Raises:
        InputError: see `infer_layout`.
    """
    train = {item.label for item in items if item.split in ("train", None)} - {None}
    known = sorted(filter(None, train))
    for item in items:
        if item.label is not None and item.label not in train:
            near = [one for one in known if same_class_key(one) == same_class_key(item.label)]
            raise InputError(
                f"{item.split} has a class that train lacks",
                where=where,
                found=repr(item.label) if near else item.label,
                expected="one of " + ", ".join(map(repr, near) if near else known[:20]),
                fix="add training images of the class, or remove its folder",
            )
    if len(train) < 2:
        raise InputError(
            "there must be two classes or more",
            where=where,
            found=", ".join(known) or "no labelled training images",
            expected=EXPECTED,
        )
    return Source(
        description={**about, "files": len(items)},
        classes=order_classes(known),
        items=sorted(items, key=lambda item: item.name),
        refused=[(escape(name), reason) for name, reason in listing.refused],
        ignored=dict(sorted(listing.ignored.items())),
        examples=dict(listing.examples),
    )


def _read_folders(listing: Listing, tree: Folder, settings: DataConfig, where: Path) -> Reading:
    """Read the folders, and name the flag that helps where the labels are in the names of the files."""
    try:
        if tree.flat:
            table = listing.tables[0].name if listing.tables else None
            raise InputError(
                "the images are in no class folders",
                where=where,
                found=f"{len(listing.files):,} images, such as {escape(listing.files[0].name)}",
                expected=EXPECTED,
                fix=table and f"{where / table}, if that table has the columns path,label",
            )
        reading = read_folders(tree, settings, where)
    except InputError as error:
        example = names_with_labels(listing, tree)
        if not example:
            raise
        fix = f"--data.label-from name, if {example}" + (f"; or {error.fix}" if error.fix else "")
        raise InputError(
            error.what, where=error.where, found=error.found, expected=error.expected, fix=fix
        ) from error
    _note_empty(listing, tree, reading, where)
    return reading


def _items(listing: Listing, reading: Reading) -> list[Item]:
    """Return the images of a reading, each in the part whose folder is nearest; others are passed over."""
    parts = {part.base.path: part for part in reading.parts}
    beside = {folder.path for folder in reading.beside}
    items = []
    for file in listing.files:
        folders = file.name.split("/")[:-1]
        above = ("/".join(folders[:depth]) for depth in range(len(folders), -1, -1))
        place = next((path for path in above if path in parts), None)
        part = None if place is None else parts[place]
        label = part and _label(part, file.name, folders[place.count("/") + 1 if place else 0 :])
        if part and (label or not part.labelled):
            items.append(_item(file, part, label))
        elif any("/".join(folders[:depth]) in beside for depth in range(1, len(folders) + 1)):
            listing.pass_over(file.name, "image in a folder that is no split")
        else:
            listing.pass_over(file.name, "image outside a class folder")
    return items


def _label(part: LayoutPart, name: str, below: list[str]) -> str | None:
    """Return the label of an image in a part, given the folders below the part's."""
    if not part.labelled:
        return None
    if part.by_name:
        return None if below else label_of(name)
    return part.label or (below[0] if below else None)


def _item(file: File, part: LayoutPart, label: str | None) -> Item:
    return Item(file.name, part.split, label and class_name(label), file.read, file.stamp)


def _layout(reading: Reading) -> str:
    return "train, val, test" if reading.splits else "classes"


def _note_empty(listing: Listing, tree: Folder, reading: Reading, where: Path) -> None:
    """Refuse class folders of train without an image; other folders without one are passed over."""
    classes = [p.base for p in reading.parts if p.split in ("train", None) and p.label is None]
    empty = [f"{base.path}/{name}".lstrip("/") for base in classes for name in base.empty]
    if empty:
        raise InputError(
            "a class folder holds no images",
            where=where,
            found=", ".join(map(escape, empty[:10])),
            fix="add images, or delete the folder to drop the class",
        )
    for name in _around(tree, reading.root):
        listing.pass_over(name, "folder without images")


def _around(tree: Folder, root: Folder) -> Iterable[str]:
    """Yield the folders without images beside what was read, from the top down."""
    folder = tree
    for part in [*filter(None, root.path.split("/")), None]:
        yield from (folder.folders[name].path for name in folder.empty)
        if part is not None:
            folder = folder.folders[part]
