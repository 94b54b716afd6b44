"""The words of column names and of splits, as people write them."""

import re
from collections.abc import Iterable, Mapping

from tutelage.data.readers.source import Split
from tutelage.data.readers.split_names import parse_split


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


PATHS = _set(
    "path paths filepath imagepath imgpath relpath relativepath fullpath image images img imgs imageid imgid "
    "imagename imgname imagefile imgfile imagefilename filename filenames file files fname imageindex photo "
    "photoid photopath photoname picture pictureid pic picid isicid imageurl"
)
"""Names of the column of files, without spaces and signs."""
PATH_PARTS = _set(
    "path image img file filename fname photo picture pic id name uid uuid key idx index"
)
"""Words in such a name."""
LABELS = _set(
    "label labels labelname class classes classname classlabel category categoryname target targets "
    "diagnosis dx species breed y groundtruth gt disease classification"
)
"""Names of the column of labels."""
LABEL_HINTS = _set(
    "type kind tag tags variety cultivar genus family grade stage emotion expression finding findings truth "
    "outcome condition annotation"
)
"""Words that are labels only where no other column may be one."""
SPLITS_STRONG = _set("split splits splitname subset partition")
SPLITS_WEAK = _set(
    "set dataset fold phase part usage mode datasplit traintest trainvaltest trainvalid traintestsplit "
    "whichset isvalid isval isvalidation istest istrain istraining istrainingimage valid"
)
SELDOM_LABELS = _set(
    "width height area size bytes channels dpi age sex gender date year month day time hour lat lon latitude "
    "longitude xmin xmax ymin ymax x1 x2 y1 y2 patient site fold seed camera source author photographer "
    "license licence url caption description text comment age_approx localization row"
)
"""Words of columns that hold few values and are still seldom what is to be learned."""

_SPLITS: Mapping[Split, frozenset[str]] = {
    "train": _set("train training trn tr trainset trainingset learn"),
    "val": _set(
        "val valid validation validate dev eval valset validationset publictest development"
    ),
    "test": _set("test testing tst testset holdout heldout privatetest"),
}
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_YES_NO: dict[str, tuple[Split, Split]] = {
    "isvalid": ("val", "train"),
    "isval": ("val", "train"),
    "isvalidation": ("val", "train"),
    "istest": ("test", "train"),
    "istrain": ("train", "test"),
    "istraining": ("train", "test"),
    "istrainingimage": ("train", "test"),
}


def squeeze(name: str) -> str:
    """Return a name without case, spaces and signs.

    >>> squeeze("Image_ID"), squeeze("file name")
    ('imageid', 'filename')
    """
    return "".join(filter(str.isalnum, name.casefold()))


def parts_of(name: str) -> frozenset[str]:
    """Return the words of a name.

    >>> sorted(parts_of("cellType")), sorted(parts_of("dog_breed"))
    (['cell', 'type'], ['breed', 'dog'])
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return frozenset(re.findall(r"[^\W_]+", apart.casefold()))


def split_word(text: str) -> Split | None:
    """Return the split that a word stands for, or None."""
    word = squeeze(text)
    return next((split for split, words in _SPLITS.items() if word in words), None)


def split_in(name: str) -> Split | None:
    """Return the one split that a file or folder name speaks of.

    >>> [split_in(name) for name in ("train-00000-of-00002", "test_images", "train_labels", "labels")]
    ['train', 'test', 'train', None]
    """
    found = parse_split(name)
    return found.split if found else None


def split_values(column: str, values: Iterable[str]) -> dict[str, Split] | None:
    """Return what the values of a column mean if they name splits, or None.

    Words count under any column name; yes and no under names such as `is_valid`; 0, 1 and 2 (train, val and
    test, as in CelebA) under `split` or `partition`.
    """
    name, wanted = squeeze(column), {value for value in values if value}
    if words := {value: split for value in wanted if (split := split_word(value))}:
        return words if len(words) == len(wanted) else None
    if name in _YES_NO and wanted and {value.casefold() for value in wanted} <= _TRUE | _FALSE:
        yes, no = _YES_NO[name]
        return {value: yes if value.casefold() in _TRUE else no for value in wanted}
    if name in SPLITS_STRONG and wanted == {"0", "1", "2"}:
        return {"0": "train", "1": "val", "2": "test"}
    return None
