"""The folders of a listing as a tree that counts images, and what two of them have in common."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tutelage.data.readers.listing import Listing


@dataclass(slots=True, eq=False)
class Folder:
    """A folder with the images directly in it and its sub-folders."""

    path: str
    """Relative to the source; empty: the source itself."""
    images: int = 0
    """Directly in it."""
    total: int = 0
    """Images in it and below."""
    folders: dict[str, "Folder"] = field(default_factory=dict)
    """By name."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def filled(self) -> dict[str, "Folder"]:
        """Sub-folders with images in them or below, by name, sorted."""
        return {name: one for name, one in sorted(self.folders.items()) if one.total}

    @property
    def empty(self) -> list[str]:
        """Names of sub-folders without an image, sorted."""
        return sorted(name for name, one in self.folders.items() if not one.total)

    @property
    def flat(self) -> bool:
        """Whether no image stands below a sub-folder."""
        return not self.filled

    def only(self) -> "Folder | None":
        """Return the one folder that holds everything in this one, or None."""
        filled = list(self.filled.values())
        return filled[0] if len(filled) == 1 and not self.images else None


def folder_tree(listing: Listing) -> Folder:
    """Build the tree of a listing: its folders, and the number of images in each."""
    root = Folder("")
    for path in listing.folders:
        _at(root, path.split("/"), 0)
    for file in listing.files:
        _at(root, file.name.split("/")[:-1], 1).images += 1
    return root


def _at(root: Folder, parts: Sequence[str], images: int) -> Folder:
    """Return a folder by its path, made where there is none, with images added to all on the way."""
    folder = root
    folder.total += images
    for part in parts:
        inner = folder.folders.get(part)
        if inner is None:
            inner = folder.folders[part] = Folder(f"{folder.path}/{part}".lstrip("/"))
        folder = inner
        folder.total += images
    return folder


def inner_folder(folder: Folder) -> Folder:
    """Return the folder in which sub-folders stand side by side: `train/train` of `train/train/cat`."""
    while only := folder.only():
        if only.flat and only.name.casefold() != folder.name.casefold():
            break
        folder = only
    return folder


def inner_names(folder: Folder) -> frozenset[str]:
    """Return the names of the sub-folders below which a folder's images stand, as they are compared."""
    names = inner_folder(folder).filled
    return frozenset(unicodedata.normalize("NFC", name).casefold() for name in names)


def same_inside(folders: Iterable[Folder]) -> frozenset[str]:
    """Return the sub-folder names that all folders share, if they make up most of those of each."""
    names = [inner_names(folder) for folder in folders]
    if len(names) < 2:
        return frozenset()
    shared = frozenset.intersection(*names)
    return shared if all(2 * len(shared) > len(one) for one in names) else frozenset()
