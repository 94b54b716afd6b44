"""Say in a sentence how folders were read: `3 classes in 2 splits: training_set is train, val`."""

from collections.abc import Mapping

from tutelage.data.readers.reading import Reading
from tutelage.data.readers.source import SPLITS, Item, Source, Split
from tutelage.data.readers.split_names import split_of
from tutelage.text import escape


def describe_reading(reading: Reading, source: Source) -> str:
    """Return the sentence, with what a person may not expect: folders around, in between and below."""
    text = f"{len(source.classes)} classes"
    if reading.splits:
        count = len(set(reading.splits.values()))
        inside = " inside each class folder" if any(part.label for part in reading.parts) else ""
        splits = "split" if count == 1 else "splits"
        text += f" in {count} {splits}{inside}: {_splits(reading.splits)}"
    else:
        text += (
            ", without given splits" if reading.by_name else ", a folder each, without given splits"
        )
    if words := [name for name in source.classes if not reading.splits and split_of(name)]:
        text += f"; {', '.join(words)} is a class like those beside it"
    if reading.by_name:
        text += f"; labels from the names of files: {_example(source.items)}"
    if "train" in reading.splits.values() and "val" not in reading.splits.values():
        text += "; val is drawn from train"
    if reading.root.path:
        text += f"; inside {escape(reading.root.path)}/"
    unlabelled = [escape(part.base.path) for part in reading.parts if not part.labelled]
    if unlabelled:
        text += f"; {', '.join(unlabelled)} has no labels"
    if nested := _nested(reading, source.items):
        text += f"; {nested}"
    if reading.beside:
        text += f"; passed over: {', '.join(escape(one.name) for one in reading.beside)}, no split"
    return text


def _splits(names: Mapping[str, Split]) -> str:
    ordered = sorted(names.items(), key=lambda one: (SPLITS.index(one[1]), one[0]))
    return ", ".join(
        split if name == split else f"{escape(name)} is {split}" for name, split in ordered
    )


def _example(items: list[Item]) -> str:
    item = next(one for one in items if one.label)
    return f"{escape(item.name.rpartition('/')[2])} is {item.label}"


def _nested(reading: Reading, items: list[Item]) -> str:
    """Return which level is the class, by an example, where folders stand below a class folder."""
    if reading.by_name:
        return ""
    depth = {
        part.base.path: part.base.path.count("/") + bool(part.base.path) for part in reading.parts
    }
    fixed = {part.base.path for part in reading.parts if part.label}
    for item in items:
        folders = item.name.split("/")[:-1]
        for place, above in depth.items():
            inside = not place or item.name.startswith(f"{place}/")
            deepest = above if place in fixed else above + 1
            if inside and item.label and len(folders) > deepest:
                return f"folders below a class belong to it: {escape(item.name)} is {item.label}"
    return ""
