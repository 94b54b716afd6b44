"""A folder whose labels stand in tables, not in folder names: Kaggle's, Hugging Face's, a table a split.

    train.csv, train/, test/, sample_submission.csv       the images of test/ are unlabelled
    metadata.jsonl or train/metadata.csv                  `file_name` beside the other columns
    train.csv, val.csv, test.csv                          a table for each split
    data/train-00000-of-00002.parquet                     the images are in it

Folders that name classes win: a table beside them is passed over.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.config.data import DataConfig
from tutelage.data.readers import folder as class_folders
from tutelage.data.readers.names import IMAGE_SUFFIXES, is_ignored
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Item, Source, Split
from tutelage.data.readers.tables.class_names import is_list_of_names
from tutelage.data.readers.tables.columns import find_columns, read_choice
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.open import JSON, PARQUET, TEXT, files_of, read_any
from tutelage.data.readers.tables.read import Part, read_parts
from tutelage.data.readers.tables.table import Table
from tutelage.data.readers.tables.words import parts_of, split_in
from tutelage.errors import InputError, MachineError, TutelageError
from tutelage.text import escape

MOST_TABLES = 1000
"""Tables of one folder."""
_PLAIN = re.compile(
    "images?|imgs?|photos?|pictures?|jpe?gs?|pngs?|data|dataset|raw|files|frames|patches|tiles|crops"
    "|annotations?|masks|labels|metadata|lists|splits"
)
"""Words of folder names that stand for no class."""
_NO_DATA = re.compile(r"readme|license|licence|requirements|citation|changelog|notes|robots", re.I)
_LOOKED_AT = 1000
"""Entries of a folder in which an image is looked for."""


class _Candidate(NamedTuple):
    table: Table
    files: Files
    split: Split | None
    prefix: str
    labelled: bool


def open_folder_with_table(folder: Path, settings: DataConfig) -> Source:
    """Open a source from the tables of a folder, or from its class folders if no table fits.

    Raises:
        InputError: the tables are not clear; see `read_parts`.
    """
    candidates, told, doubts = _read_all(folder, settings)
    if not any(one.labelled for one in candidates):
        if doubts:
            raise doubts[0]
        return class_folders.READER.open("", folder, settings)
    chosen = _choose([one for one in candidates if one.labelled], folder)
    chosen += [one for one in candidates if not one.labelled and one.split == "test"]
    tests = _test_folders(folder)
    named = len(chosen) > 1 or bool(tests) or chosen[0].prefix
    parts = [Part(one.table, one.files, one.split if named else None, one.prefix) for one in chosen]
    beside = _unlabelled(parts, tests) if not settings.images else []
    about = {"kind": "folder", "name": escape(folder.resolve().name)}
    tables = [f"table: {', '.join(one.table.where.name for one in chosen[:8])}", *told]
    return read_parts(parts, settings, about, where=folder, beside=beside, told=tables)


def tables_in(folder: Path) -> list[Path]:
    """List what may be tables in a folder: at its top, and in folders that name a split or no class."""
    found = [path for path in _sorted(folder) if _may_be_table(path)]
    for inner in _sorted(folder):
        if inner.is_dir() and not inner.is_symlink() and _names_no_class(inner.name):
            found += [path for path in _sorted(inner) if _may_be_table(path)]
    return found[:MOST_TABLES]


def has_class_folders(folder: Path) -> bool:
    """Return whether folders of images stand for classes: at the top, or below a split or a plain folder."""
    tops = [path for path in _sorted(folder) if path.is_dir()]
    if _stand_for_classes(tops):
        return True
    below = (top for top in tops if _names_no_class(top.name))
    return any(
        _stand_for_classes([path for path in _sorted(top) if path.is_dir()]) for top in below
    )


def _read_all(
    folder: Path, settings: DataConfig
) -> tuple[list[_Candidate], list[str], list[TutelageError]]:
    """Return the tables that lead to images, what was passed over, and tables that are not clear."""
    shared, choice = files_of(folder, settings), read_choice(settings.columns)
    candidates, passed_over = [], []
    doubts: list[TutelageError] = []
    for path in tables_in(folder):
        if "submission" in path.stem.lower():
            passed_over.append(f"{path.name} (an example of a submission)")
            continue
        split = split_in(path.stem) or (
            split_in(path.parent.name) if path.parent != folder else None
        )
        own = path.parent != folder and split_in(path.parent.name) is not None
        files = files_of(path.parent, settings) if own else shared
        try:
            table = read_any(path, files)
            roles = find_columns(
                table, files, choice, labelled=False, several=settings.multi_label is not None
            )
        except (InputError, MachineError) as error:
            if isinstance(error, MachineError) or error.what.startswith(
                ("it is", "the images have")
            ):
                doubts.append(error)
            passed_over.append(path.name)
            continue
        prefix = f"{path.parent.name}/" if own and not settings.images else ""
        candidates.append(_Candidate(table, files, split, prefix, bool(roles.labels)))
    told = [f"passed over: {', '.join(passed_over[:8])}"] if passed_over else []
    return candidates, told, doubts


def _choose(labelled: Sequence[_Candidate], folder: Path) -> list[_Candidate]:
    """Return the tables to read: one, or one or more for each split.

    Raises:
        InputError: there are several, and their names do not say which splits they are.
    """
    if len(labelled) == 1 or all(one.split for one in labelled):
        return sorted(labelled, key=lambda one: one.split != "train")
    raise InputError(
        "there are several tables of images",
        where=folder,
        found=", ".join(one.table.where.name for one in labelled[:10]),
        expected="one table, or train, val and test",
        fix=f"one of them in place of the folder, such as {labelled[0].table.where}",
    )


def _test_folders(folder: Path) -> list[str]:
    return [
        path.name
        for path in _sorted(folder)
        if path.is_dir() and split_in(path.name) == "test" and _holds_images(path)
    ]


def _unlabelled(parts: Sequence[Part], tests: Sequence[str]) -> list[Item]:
    """Return the images of test folders that have no table of their own."""
    tabled = {part.prefix.rstrip("/") for part in parts}
    free = [name for name in tests if name not in tabled]
    return [
        Item(file.name, "test", None, file.read, file.stamp)
        for file in (parts[0].files.listing.files if free else ())
        if file.name.split("/")[0] in free
    ]


def _stand_for_classes(folders: Sequence[Path]) -> bool:
    """Return whether two or more folders of images have names that can be classes.

    `part_1` and `part_2` are parts of one folder.
    """
    named = [path for path in folders if not _names_no_class(path.name)]
    without_numbers = Counter(re.sub(r"\d+", "", path.name) for path in named)
    if len(named) > 1 and len(without_numbers) == 1 and next(iter(without_numbers)):
        return False
    return sum(_holds_images(path) for path in named) > 1


def _names_no_class(name: str) -> bool:
    return split_in(name) is not None or any(map(_PLAIN.fullmatch, parts_of(name)))


def _holds_images(folder: Path) -> bool:
    return any(
        path.suffix.lower() in IMAGE_SUFFIXES or (path.is_dir() and _holds_files(path))
        for path in _sorted(folder)[:_LOOKED_AT]
    )


def _holds_files(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in _sorted(folder)[:_LOOKED_AT])


def _may_be_table(path: Path) -> bool:
    return (
        path.suffix.lower() in TEXT | JSON | PARQUET
        and not is_list_of_names(path.name)
        and not _NO_DATA.search(path.stem)
        and path.is_file()
        and not path.is_symlink()
    )


def _sorted(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not is_ignored(entry.name))
    except OSError:
        return []
    return [folder / name for name in names]


READER = Reader(
    "a folder with a table and images",
    accepts=lambda _text, path: (
        path.is_dir() and bool(tables_in(path)) and not has_class_folders(path)
    ),
    open=lambda _text, path, settings: open_folder_with_table(path, settings),
)
