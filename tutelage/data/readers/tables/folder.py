"""A folder whose labels stand in tables, not in folder names: Kaggle's, Hugging Face's, a table a split.

    train.csv, train/, test/, sample_submission.csv       the images of test/ are unlabelled
    metadata.jsonl or train/metadata.csv                  `file_name` beside the other columns
    train.csv, val.csv, test.csv                          a table for each split
    data/train-00000-of-00002.parquet                     the images are in it

Folders that name classes win over a table that says the same, or nothing of labels.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.data.readers import folder as class_folders
from tutelage.data.readers.file_names import IMAGE_SUFFIXES, is_ignored
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source
from tutelage.data.readers.tables.choose import Offer, open_tables
from tutelage.data.readers.tables.class_names import is_list_of_names
from tutelage.data.readers.tables.compare import require_agreement
from tutelage.data.readers.tables.open import JSON, PARQUET, TEXT, files_of, read_any
from tutelage.data.readers.tables.words import parts_of, split_in
from tutelage.text import escape

MOST_TABLES = 1000
"""Tables of one folder."""
_PLAIN = re.compile(
    "images?|imgs?|photos?|pictures?|jpe?gs?|pngs?|data|dataset|raw|files|frames|patches|tiles|crops"
    "|annos?|annotations?|masks|labels|metadata|lists|splits"
)
"""Words of folder names that stand for no class."""
_NO_DATA = re.compile(r"readme|license|licence|requirements|citation|changelog|notes|robots", re.I)
_LOOKED_AT = 1000
"""Entries of a folder in which an image is looked for."""


def open_folder_with_table(folder: Path, settings: DataConfig) -> Source:
    """Open a source from the tables of a folder, or from its class folders if it has any or no table fits.

    Raises:
        InputError: the tables are not clear, or say something else than class folders.
    """
    if settings.layout or settings.label_from:  # a person has said what the folders are
        return class_folders.READER.open("", folder, settings)
    offers = _offers(folder, settings)
    if has_class_folders(folder):
        source = class_folders.READER.open("", folder, settings)
        return require_agreement(source, offers, settings, folder)
    return open_tables(
        offers,
        _test_folders(folder),
        settings,
        {"kind": "folder", "name": escape(folder.resolve().name)},
        where=folder,
        otherwise=lambda: class_folders.READER.open("", folder, settings),
    )


def _offers(folder: Path, settings: DataConfig) -> list[Offer]:
    shared, offers = files_of(folder, settings), []
    for path in tables_in(folder):
        inner = path.parent.relative_to(folder).as_posix().removeprefix(".")
        own = bool(split_in(inner)) and not settings.images
        files = files_of(path.parent, settings) if own else shared
        read = partial(read_any, path, files)
        prefix, top = (f"{inner}/", shared) if own else ("", None)
        offers.append(Offer(path, read, files, prefix, inner, top))
    return offers


def tables_in(folder: Path, deep: int = 2) -> list[Path]:
    """List what may be tables in a folder: at its top, and in folders that name a split or no class.

    Args:
        folder: where to look.
        deep: how many such folders deep.
    """
    found = [path for path in _sorted(folder) if _may_be_table(path)]
    for inner in _sorted(folder) if deep else ():
        if _names_no_class(inner.name) and inner.is_dir() and not inner.is_symlink():
            found += tables_in(inner, deep - 1)
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


def _test_folders(folder: Path) -> list[str]:
    return [
        path.name
        for path in _sorted(folder)
        if path.is_dir() and split_in(path.name) == "test" and _holds_images(path)
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
        and not _NO_DATA.search(path.stem)
        and path.is_file()
        and not path.is_symlink()
        and not is_list_of_names(path)
    )


def _sorted(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not is_ignored(e.name, folder=e.is_dir()))
    except OSError:
        return []
    return [folder / name for name in names]


READER = Reader(
    "a folder with a table and images",
    accepts=lambda _text, path: path.is_dir() and bool(tables_in(path)),
    open=lambda _text, path, settings: open_folder_with_table(path, settings),
)
