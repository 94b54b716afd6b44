"""Infer the layout of a listing: class folders, or train/, val/ and test/ with class folders inside.

    FOLDER/cat/1.jpg                  one folder per class; split by the settings
    FOLDER/train/cat/1.jpg            given splits: train/, val/ and, optionally, test/
    FOLDER/test/7.jpg                 test images without class folders are unlabelled

Folders below a class folder belong to the class. The class of an image is the name of its folder, by name in
every split, never by position.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.names import SPLIT_FOLDERS, class_name, order_classes
from tutelage.data.readers.source import Item, Source, Split
from tutelage.errors import InputError
from tutelage.text import escape

EXPECTED = "FOLDER/cat/1.jpg (a folder a class), or FOLDER/train/cat/1.jpg beside val/ and test/"


def infer_layout(listing: Listing, about: dict[str, Any], *, where: Path) -> Source:
    """Build a source from a listing.

    Raises:
        InputError: no images, one class, an empty class folder, class names too alike, a class that train
            lacks, or another layout.
    """
    tops = sorted(name for name in listing.folders if "/" not in name)
    if not listing.files and not listing.refused:
        raise InputError("there are no images", where=where, expected=EXPECTED)
    if not tops:
        table = listing.tables[0].name if listing.tables else None
        raise InputError(
            "the images are in no class folders",
            where=where,
            expected=EXPECTED,
            fix=table and f"{where / table}, if that table has the columns path,label",
        )
    splits = _split_folders(tops, where)
    if "train" in splits.values():
        items = _given(listing, splits, where)
        layout = "train, val, test"
    else:
        _one_level_down(listing, tops, where)
        _no_empty_class(tops, listing.files, where)
        items = [
            _item(file, None, file.name.split("/")[0]) for file in listing.files if "/" in file.name
        ]
        layout = "classes"
    beside = len(listing.files) - len(items)
    if beside:
        listing.ignored["image outside a class folder"] += beside
    return finish_source(items, listing, {**about, "layout": layout}, where=where)


def finish_source(
    items: list[Item], listing: Listing, about: dict[str, Any], *, where: Path
) -> Source:
    """Check the rules that hold for every source, and build it.

    Raises:
        InputError: see `infer_layout`.
    """
    train = {item.label for item in items if item.split in ("train", None)} - {None}
    for item in items:
        if item.label is not None and item.label not in train:
            raise InputError(
                f"{item.split} has a class that train lacks",
                where=where,
                found=item.label,
                expected="one of " + ", ".join(sorted(filter(None, train))[:20]),
                fix="add training images of the class, or remove its folder",
            )
    if len(train) < 2:
        raise InputError(
            "there must be two classes or more",
            where=where,
            found=", ".join(filter(None, train)) or "no labelled training images",
            expected=EXPECTED,
        )
    return Source(
        description={**about, "files": len(items)},
        classes=order_classes(filter(None, train)),
        items=sorted(items, key=lambda item: item.name),
        refused=[(escape(name), reason) for name, reason in listing.refused],
        ignored=dict(sorted(listing.ignored.items())),
    )


def _item(file: File, split: Split | None, label: str | None) -> Item:
    return Item(file.name, split, label and class_name(label), file.read, file.stamp)


def _split_folders(tops: Iterable[str], where: Path) -> dict[str, Split]:
    """Return which top folders are splits, by folder name; two names for one split are refused."""
    splits = {name: SPLIT_FOLDERS[name.lower()] for name in tops if name.lower() in SPLIT_FOLDERS}
    for split in set(splits.values()):
        names = [name for name, other in splits.items() if other == split]
        if len(names) > 1:
            raise InputError(f"two folders stand for {split}", where=where, found=", ".join(names))
    if splits and "train" not in splits.values() and len(splits) == len(list(tops)):
        raise InputError(
            "there is no train folder",
            where=where,
            found=", ".join(splits),
            expected="train/ beside them, with one folder a class",
        )
    return splits


def _given(listing: Listing, splits: dict[str, Split], where: Path) -> list[Item]:
    """Return the items of given splits. A test folder without folders in it holds unlabelled images."""
    items = []
    for file in listing.files:
        top, *rest = file.name.split("/")
        if top not in splits:
            if rest:
                raise InputError(
                    "there are images in a folder that is not a split",
                    where=where,
                    found=f"{escape(top)}/ beside {', '.join(splits)}",
                    fix="move the folder away",
                )
        elif len(rest) > 1:
            items.append(_item(file, splits[top], rest[0]))
    for top, split in splits.items():
        inner = {name.split("/")[1] for name in listing.folders if name.startswith(f"{top}/")}
        if split == "test" and not inner:
            flat = (file for file in listing.files if file.name.startswith(f"{top}/"))
            items += [_item(file, "test", None) for file in flat]
        elif split != "test" and not any(item.split == split for item in items):
            raise InputError(
                f"{escape(top)}/ holds no images in class folders", where=where, expected=EXPECTED
            )
        elif split == "train":
            _no_empty_class([f"{top}/{name}" for name in sorted(inner)], listing.files, where)
    return items


def _no_empty_class(folders: Iterable[str], files: Iterable[File], where: Path) -> None:
    filled = set()
    for file in files:
        parts = file.name.split("/")
        filled |= {"/".join(parts[:depth]) for depth in (1, 2) if depth < len(parts)}
    empty = [escape(folder) for folder in folders if folder not in filled]
    if empty:
        raise InputError(
            "a class folder holds no images",
            where=where,
            found=", ".join(empty[:10]),
            fix="add images, or delete the folder to drop the class",
        )


def _one_level_down(listing: Listing, tops: list[str], where: Path) -> None:
    """Refuse a single top folder that holds the real layout, and name the path to give."""
    inner = {name.split("/")[1] for name in listing.folders if name.startswith(f"{tops[0]}/")}
    if len(tops) == 1 and len(inner) > 1:
        raise InputError(
            "the class folders are one level further down",
            where=where,
            found=f"one folder, {escape(tops[0])}, with {len(inner)} folders in it",
            fix=f"{escape(str(where / tops[0]))}",
        )
