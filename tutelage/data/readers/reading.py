"""Decide what the folders of a tree are: classes, splits that hold classes, or classes that hold splits.

Both readings are held against the data: which names stand for a split, whether the same sub-folders are below
each, and what stands beside them. Where one reading explains all folders it is taken; otherwise both are
written out and refused, and `--data.layout` decides.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.names import class_name
from tutelage.data.readers.source import Split
from tutelage.data.readers.split_names import (
    is_unlabelled_name,
    parse_split,
    says_nothing,
    split_folders,
    split_of,
)
from tutelage.data.readers.tree import Folder, inner_folder, inner_names, same_inside
from tutelage.errors import InputError
from tutelage.text import escape

EXPECTED = "FOLDER/cat/1.jpg (a folder a class), or FOLDER/train/cat/1.jpg beside val/ and test/"
_SHOWN = 6
_NO_CLASSES = frozenset(
    ("image", "images", "img", "imgs", "data", "annotation", "annotations", "label", "labels")
) | {"mask", "masks", "trimaps"}


class LayoutPart(NamedTuple):
    """A folder whose images have one split, and from which their labels are read."""

    base: Folder
    split: Split | None
    label: str | None = None
    """Of all its images; None: the name of the folder below `base` in which an image stands."""
    labelled: bool = True
    """False: its images have no label."""
    by_name: bool = False
    """The label of an image is in the name of its file."""
    top: str = ""
    """The folder that stands for the split."""


class Reading(NamedTuple):
    """What the folders are."""

    root: Folder
    """Around everything that was read."""
    parts: list[LayoutPart]
    splits: Mapping[str, Split]
    """Folders that stand for a split, by name; empty: the split is to be drawn."""
    beside: list[Folder]
    """Folders that are neither a class nor a split; their images are passed over."""

    @property
    def by_name(self) -> bool:
        """Whether the labels are in the names of the files."""
        return any(part.by_name for part in self.parts)


def read_folders(tree: Folder, settings: DataConfig, where: Path) -> Reading:
    """Decide what the folders of a tree are.

    Raises:
        InputError: no reading explains them all, or two do; the message holds both.
    """
    root = _inside_wrappers(tree)
    tops = root.filled
    if settings.layout == "classes":
        return Reading(root, [LayoutPart(root, None)], {}, [])
    splits = split_folders(tops, lenient=settings.layout == "splits" or _all_splits(tops))
    beside = [one for name, one in tops.items() if name not in splits]
    if settings.layout == "splits":
        return _as_splits(root, splits, beside, where)
    unlabelled = [one for one in beside if is_unlabelled_name(one.name) and not inner_names(one)]
    others = [one for one in beside if one not in unlabelled]
    if splits and not others:
        return _as_splits(root, splits, unlabelled, where)
    if splits and not _is_class_named_train(splits, tops):
        raise _two_readings(splits, others, tops, where)
    if found := _splits_inside(root):
        if any(part.base.filled for part in found.parts):  # site/train/cat: which is the class?
            inner = sorted({name for part in found.parts for name in part.base.filled})
            raise _unclear_level(list(tops), inner, where)
        return found
    if set(map(str.casefold, tops)) <= _NO_CLASSES:
        raise _no_classes(list(tops.values()), where)
    if not splits and (shared := same_inside(tops.values())) and _all_inside(tops):
        raise _unclear_level(list(tops), sorted(shared), where)
    return Reading(root, [LayoutPart(root, None)], {}, [])


def _inside_wrappers(folder: Folder) -> Folder:
    """Return the folder in which classes or splits stand side by side: `dataset/data/...`."""
    while (only := folder.only()) and not only.flat:
        if split_of(only.name) and "train" not in split_folders(only.filled).values():
            break
        folder = only
    return folder


def _all_splits(tops: Mapping[str, Folder]) -> bool:
    """Return whether every folder has a word for another split, and the same classes are below each."""
    parsed = [found.split for name in tops if (found := parse_split(name))]
    alone = len(parsed) == len(tops) == len(set(parsed)) and "train" in parsed
    return alone and bool(same_inside(tops.values()))


def _all_inside(tops: Mapping[str, Folder]) -> bool:
    return all(not one.images for one in tops.values())


def _is_class_named_train(splits: Mapping[str, Split], tops: Mapping[str, Folder]) -> bool:
    """Return whether the one split word is `train`, of a folder like those beside it: images, no folders."""
    return list(splits.values()) == ["train"] and tops[next(iter(splits))].flat


def _splits_inside(root: Folder) -> Reading | None:
    """Return the reading of class folders that hold splits, `cat/train/1.png`, if that is what they do."""
    parts, names = [], dict[str, Split]()
    for label, folder in root.filled.items():
        splits = split_folders(folder.filled)
        if folder.images or len(splits) < len(folder.filled) or "train" not in splits.values():
            return None
        names |= splits
        parts += [LayoutPart(folder.filled[name], split, label) for name, split in splits.items()]
    return Reading(root, parts, names, []) if len(set(names.values())) > 1 else None


def _as_splits(
    root: Folder, splits: Mapping[str, Split], beside: list[Folder], where: Path
) -> Reading:
    """Return the reading of given splits; two folders for one split, or none for train, are refused."""
    as_classes = f"{flag('data.layout')} classes, if these folders are classes"
    for split in sorted(set(splits.values())):
        names = [name for name, other in splits.items() if other == split]
        if len(names) > 1:
            raise InputError(
                f"two folders stand for {split}",
                where=where,
                found=_listed(names),
                fix=f"move all but one away; or {as_classes}",
            )
    train = next((name for name, split in splits.items() if split == "train"), None)
    if train is None:
        raise InputError(
            "there is no train folder",
            where=where,
            found=_listed([*splits, *(one.name for one in beside)]),
            expected="train/ beside them, with one folder a class",
            fix=as_classes,
        )
    known = inner_names(root.folders[train])
    for name, split in split_folders(root.empty).items():
        if split == "val" and split not in splits.values():
            raise _no_images_in(root.folders[name], where, None)
    parts = []
    for name, split in splits.items():
        base = _inside_split(root.folders[name], known if split != "train" else frozenset())
        unlabelled = split == "test" and base.flat
        if base.flat and not unlabelled:
            raise _no_images_in(base, where, as_classes if root.folders[name].flat else None)
        parts.append(LayoutPart(base, split, labelled=not unlabelled))
    return Reading(root, parts, splits, beside)


def _no_images_in(folder: Folder, where: Path, fix: str | None) -> InputError:
    what = f"{escape(folder.path)}/ holds no images in class folders"
    return InputError(what, where=where, expected=EXPECTED, fix=fix)


def _inside_split(folder: Folder, classes: frozenset[str]) -> Folder:
    """Return the folder of a split in which its class folders stand: `seg_train/seg_train`."""
    while only := folder.only():
        doubled = only.name.casefold() == folder.name.casefold()
        known = class_name(only.name).casefold() in classes
        if known or (only.flat and not doubled and not says_nothing(only.name)):
            break
        folder = only
    return folder


def _two_readings(
    splits: Mapping[str, Split],
    others: list[Folder],
    tops: Mapping[str, Folder],
    where: Path,
) -> InputError:
    names = [one.name for one in others]
    held = [f"{name}/ ({_content(tops[name])})" for name in splits]
    return InputError(
        "there are images in a folder that is not a split",
        where=where,
        found=f"two readings. Classes: {_listed(sorted(tops))}. Splits: {_listed(held)}, and "
        f"{_listed([f'{name}/' for name in names])} beside them is none",
        fix=f"{flag('data.layout')} classes; or {flag('data.layout')} splits, which passes over "
        f"{_listed([f'{name}/' for name in names])}",
    )


def _unclear_level(tops: list[str], shared: list[str], where: Path) -> InputError:
    return InputError(
        "the classes may be the top folders or the folders in them",
        where=where,
        found=f"the same folders in each. Top folders: {_listed(tops)}. In them: {_listed(shared)}",
        fix=f"{flag('data.layout')} classes, if the top folders are the classes; for the others, "
        f"rename the top folders to train, val and test, or give one of them: {where / tops[0]}",
    )


def _no_classes(tops: list[Folder], where: Path) -> InputError:
    most = max(tops, key=lambda one: one.total)
    return InputError(
        "the folders do not look like classes",
        where=where,
        found=_listed([f"{one.name}/ ({_content(one)})" for one in tops]),
        expected=EXPECTED,
        fix=f"the folder of the images, {where / most.path}, if its folders are the classes; or "
        f"{flag('data.layout')} classes",
    )


def _content(folder: Folder) -> str:
    inner = list(inner_folder(folder).filled)
    return f"holds {_listed(inner)}" if inner else f"{folder.total} images"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(escape, names[:_SHOWN])) + more
