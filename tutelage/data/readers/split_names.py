"""Which folder names stand for a split: `train`, `Training_set`, `seg_test`, `valid2017`, and their like.

A name is cut into words. It stands for a split if exactly one of them does, and all others say nothing
(`set`, `images`, numbers). Where another word is left, as in `flowers_train`, the folders beside it decide:
there must be a `flowers_test`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tutelage.data.readers.source import Split

_WORDS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
_TWO_WORDS = {"hold out": "holdout", "held out": "heldout", "train val": "trainval"}
_EVALUATION = frozenset({"eval", "evaluation"})
_PREDICTION = frozenset(
    ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "unknown")
)
_SAYING_NOTHING = (
    "set sets data dataset datasets split splits subset part folder dir the my for of seg img imgs image "
    "images pic pics picture pictures photo photos file files sample samples jpg jpeg png class classes new "
    "final full classification all small large cropped resized original orig raw copy labeled labelled"
)
_PLAIN = frozenset(_SAYING_NOTHING.split())
_JOINED = re.compile(
    rf"({'|'.join(sorted(_PLAIN, key=len, reverse=True))})?"
    rf"({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
    rf"({'|'.join(sorted(_PLAIN, key=len, reverse=True))})?"
)


class SplitName(NamedTuple):
    """A folder name that holds a word for a split."""

    split: Split
    word: str
    """The word, such as `training`."""
    rest: tuple[str, ...]
    """Words beside it that say something, in order; empty: the name stands for the split by itself."""


def parse_split(name: str) -> SplitName | None:
    """Find the one word for a split in a folder's name.

    >>> parse_split("flowers-test2")
    SplitName(split='test', word='test', rest=('flowers',))
    >>> split_of("Training_Set"), split_of("contest")
    ('train', None)
    """
    text = " ".join(_words(name))
    for two, one in _TWO_WORDS.items():
        text = re.sub(rf"\b{two}\b", one, text)
    words = text.split()
    found = [match for word in words if (match := _JOINED.fullmatch(word))]
    if len(found) != 1:
        return None
    word = found[0][2]
    others = [one for one in words if one != found[0][0]]
    rest = tuple(one for one in others if not (one in _PLAIN or one.isdigit() or len(one) == 1))
    return SplitName(_WORDS[word], word, rest)


def split_of(name: str) -> Split | None:
    """Return the split that a folder's name stands for by itself, or None."""
    found = parse_split(name)
    return found.split if found and not found.rest else None


def split_of_path(path: str) -> Split | None:
    """Return the split that the first such folder on a path stands for, or None."""
    return next(filter(None, map(split_of, path.split("/")[:-1])), None)


def split_folders(names: Iterable[str], *, lenient: bool = False) -> dict[str, Split]:
    """Return which of the folders side by side stand for a split, and for which.

    Args:
        names: of folders in one folder.
        lenient: take every name with a word for a split, where none stands for that split by itself.
    """
    parsed = {name: found for name in names if (found := parse_split(name))}
    clear = {name: one for name, one in parsed.items() if not one.rest or _partner(one, parsed)}
    if lenient:
        known = {one.split for one in clear.values()}
        clear |= {name: one for name, one in parsed.items() if one.split not in known}
    splits = {name: one.split for name, one in clear.items()}
    used = list(splits.values())
    for name, one in clear.items():  # beside a val, an evaluation is what is left: the test
        if one.word in _EVALUATION and used.count("val") == 2 and "test" not in used:
            splits[name] = "test"
    return splits


def _partner(one: SplitName, parsed: Mapping[str, SplitName]) -> bool:
    return any(one.rest == two.rest and one.split != two.split for two in parsed.values())


def is_unlabelled_name(name: str) -> bool:
    """Return whether a name says that the images have no label: `pred`, `seg_pred`, `unlabeled`."""
    words = _words(name)
    return not _PREDICTION.isdisjoint(words) and all(
        word in _PREDICTION | _PLAIN or word.isdigit() for word in words
    )


def says_nothing(name: str) -> bool:
    """Return whether a name is no name of a class: a split, `images`, `data`, or a number of a part."""
    words = [word for word in _words(name) if not word.isdigit()]
    return bool(split_of(name)) or (
        bool(words) and all(word in _PLAIN | _PREDICTION for word in words)
    )


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+|\d+", spaced.casefold())
