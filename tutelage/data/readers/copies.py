"""Find a folder that is a copy of what stands beside it: `xray/xray/train` beside `xray/train`.

Archives of data sets come so. Taken for a class or a split, the copy would put test images into training.
"""

from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.tree import Folder, folder_tree, inner_folder

_REASON = "second copy of the folders beside it"


def drop_copies(listing: Listing, tree: Folder) -> Folder:
    """Pass over a copy: files of the same names and sizes in the same folders; return the new tree."""
    root = inner_folder(tree)
    for name, folder in root.filled.items():
        inner = inner_folder(folder)
        beside = set(root.filled) - {name}
        if len(beside) < 2 or inner.filled.keys() != beside or 2 * folder.total != root.total:
            continue
        own = [file for file in listing.files if file.name.startswith(f"{folder.path}/")]
        others = [
            file
            for file in listing.files
            if any(file.name.startswith(f"{root.filled[one].path}/") for one in beside)
        ]
        if _contents(own, inner) == _contents(others, root):
            for file in own:
                listing.pass_over(file.name, _REASON)
            copies = {file.name for file in own}
            listing.files = [file for file in listing.files if file.name not in copies]
            listing.folders = {
                path for path in listing.folders if not f"{path}/".startswith(f"{folder.path}/")
            }
            return folder_tree(listing)
    return tree


def _contents(files: list[File], folder: Folder) -> set[tuple[str, str]]:
    """Return names within a folder, with sizes, which stamps begin with."""
    start = len(f"{folder.path}/") if folder.path else 0
    return {(file.name[start:], file.stamp.partition(":")[0]) for file in files}
