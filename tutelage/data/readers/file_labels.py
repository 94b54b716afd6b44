"""Take classes from the names of files: `Abyssinian_12.jpg`, `cat.0.jpg`, `oak (3).png`.

The label is what stands before the last `_`, `.`, `-` or space and the number at the end of the name. It is
never taken unasked: `--data.label-from name`.
"""

import re
from pathlib import Path

from tutelage.config.schema import flag
from tutelage.data.readers.listing import Listing
from tutelage.data.readers.reading import LayoutPart, Reading
from tutelage.data.readers.split_names import split_folders, split_of
from tutelage.data.readers.tree import Folder
from tutelage.errors import InputError
from tutelage.text import escape

_NUMBERED = re.compile(r"(.*[^\W_].*?)[ _.\-]+\(?[0-9]+\)?", re.DOTALL)
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")


def label_of(name: str) -> str | None:
    """Return the label in the name of a file, or None.

    >>> label_of("great_pyrenees_12.jpg"), label_of("cat.0.jpg"), label_of("12.jpg"), label_of("oak (3).png")
    ('great_pyrenees', 'cat', None, 'oak')
    """
    base = name.rpartition("/")[2]
    found = _NUMBERED.fullmatch(_ENDING.sub("", base))
    return found[1].strip() if found else None


def names_with_labels(listing: Listing, tree: Folder) -> str:
    """Return an example if the names of the files look as if they held the labels; else an empty text.

    >>> from tutelage.data.readers.tree import folder_tree
    >>> from tutelage.data.readers.listing import File
    >>> names = Listing([File(f"{name}.{n}.jpg", bytes, "") for name in ("cat", "dog") for n in range(9)])
    >>> names_with_labels(names, folder_tree(names))
    'cat.0.jpg is cat'
    """
    parts = _flat_parts(tree)
    tests = tuple(f"{part.base.path}/" for part in parts if part.split == "test")
    asked = [file.name for file in listing.files if not file.name.startswith(tests)]
    labels = [label for name in asked if (label := label_of(name))]
    if (
        not parts
        or len(set(labels)) < 2
        or len(labels) < max(0.9 * len(asked), 2 * len(set(labels)))
    ):
        return ""
    first = next(name for name in asked if label_of(name))
    return f"{escape(first.rpartition('/')[2])} is {escape(label_of(first) or '')}"


def read_file_names(listing: Listing, tree: Folder, where: Path) -> Reading:
    """Return the reading by names: of a flat folder, or of splits that are flat folders.

    Images without a label in their name are refused one by one, unless that is so for a whole test folder.

    Raises:
        InputError: the images stand in other folders.
    """
    parts = _flat_parts(tree)
    if not parts:
        tops = sorted(tree.filled.values(), key=lambda one: -one.total)
        raise InputError(
            "the images are in folders of their own, so that their names need not hold the labels",
            where=where,
            found=", ".join(f"{escape(one.path)}/ ({one.total:,} images)" for one in tops[:6]),
            expected="all images in one folder, or in one for each split",
            fix=f"without {flag('data.label_from')}, or one folder: {where / tops[0].path}",
        )
    by_folder: dict[str, list[bool]] = {}
    for file in listing.files:
        by_folder.setdefault(file.name.rpartition("/")[0], []).append(
            label_of(file.name) is not None
        )
    parts = [
        part._replace(labelled=part.split != "test" or any(by_folder[part.base.path]))
        for part in parts
    ]
    needed = {part.base.path for part in parts if part.labelled}
    nameless = {
        file.name
        for file in listing.files
        if file.name.rpartition("/")[0] in needed and label_of(file.name) is None
    }
    listing.refused += [(name, "no label in its name") for name in sorted(nameless)]
    listing.files = [file for file in listing.files if file.name not in nameless]
    splits = {part.top: part.split for part in parts if part.split}
    return Reading(_root(tree), parts, splits, [])


def _root(folder: Folder) -> Folder:
    while (only := folder.only()) and (not split_of(only.name) or "train" in only.filled):
        folder = only
    return folder


def _flat_parts(tree: Folder) -> list[LayoutPart]:
    """Return the flat folders that hold all images: one, or one for each split; none if they do not."""
    root = _root(tree)
    if root.flat:
        return [LayoutPart(root, None, by_name=True)]
    splits = split_folders(root.filled)
    parts = []
    for name, folder in root.filled.items():
        base = folder
        while only := base.only():
            base = only
        if root.images or not base.flat or name not in splits:
            return []
        parts.append(LayoutPart(base, splits[name], top=name, by_name=True))
    given = [part.split for part in parts]
    return parts if "train" in given and len(set(given)) == len(given) else []
