"""Names of classes: which are equal, which are too alike, and in which order they stand."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tutelage.data.readers.source import Split
from tutelage.text import escape

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Words in the column of a table. Names of folders vary more: `split_names`."""
_WHOLE = re.compile(r"-?[0-9]{1,18}(\.0+)?")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufe0e\ufe0f\ufeff]")


def class_name(raw: str) -> str:
    """Return the class name of a folder or table cell: text in one Unicode form (NFC)."""
    return unicodedata.normalize("NFC", escape(raw))


def same_class_key(name: str) -> str:
    r"""Return a key that is equal for class names too alike to distinguish by eye.

    Case, blanks (kind, number, at the ends), forms of one character and invisible characters do not count.

    >>> same_class_key("Hot  dog ") == same_class_key("hot\u00a0dog")
    True
    """
    folded = unicodedata.normalize("NFKC", class_name(name)).casefold()
    return unicodedata.normalize("NFKC", " ".join(_UNSEEN.sub("", folded).split()))


def alike_classes(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of different class names that are too alike, each sorted."""
    groups = defaultdict(list)
    for name in sorted(set(names)):
        groups[same_class_key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in their order: whole numbers by value, anything else by text.

    >>> order_classes(["10", "9", "2"]), order_classes(["10", "9", "ten"])
    (('2', '9', '10'), ('10', '9', 'ten'))
    """
    distinct = sorted(set(names))
    if all(map(_WHOLE.fullmatch, distinct)):
        distinct.sort(key=lambda name: int(name.partition(".")[0]))
    return tuple(distinct)


def order_note(classes: Sequence[str]) -> str:
    """Return in which order classes that are whole numbers stand; empty for other names.

    >>> order_note(["0", "1", "10", "2"]), order_note(["cat", "dog"])
    ('whole numbers in the order of text: output 2 is class 10', '')
    """
    if len(classes) < 2 or not all(map(_WHOLE.fullmatch, classes)):
        return ""
    order = "numeric order" if tuple(classes) == order_classes(classes) else "the order of text"
    place = min(2, len(classes) - 1)
    return f"whole numbers in {order}: output {place} is class {classes[place]}"
