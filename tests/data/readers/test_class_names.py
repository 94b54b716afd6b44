"""Class names: whole numbers by value, one key for what looks alike, and a flag to take them as they are."""

import random
from pathlib import Path

import pytest

from support.images.layouts import png, write
from tutelage.config.data import DataConfig
from tutelage.data.readers.names import alike_classes, order_classes, order_note, same_class_key
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError


def classes_of(*names: str) -> dict[str, bytes]:
    return {f"{name}/{n}.png": png(n) for name in names for n in range(2)}


def test_whole_numbers_stand_in_their_order() -> None:
    """200 random sets, shuffled: output k is the k-th number; one name that is none makes them text."""
    dice = random.Random(0)
    for _ in range(200):
        low, count = dice.choice((0, 1, -3, 95)), dice.randint(2, 40)
        names = [str(number) for number in range(low, low + count)]
        if dice.random() < 0.3:
            names = [f"{name}.0" for name in names]
        mixed = dice.sample(names, count)
        assert list(order_classes(mixed)) == names
        assert order_classes([*mixed, "other"]) == tuple(sorted([*mixed, "other"]))


def test_numbers_in_folders_and_in_tables(tmp_path: Path) -> None:
    """0 to 11: class 2 is output 2, and that is said; an old order is said, too."""
    files = classes_of(*map(str, range(12)))
    (tmp_path / "a").mkdir()
    folder = write(files, tmp_path / "a", "folder", random.Random(0))
    table = folder / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{name},{name.split('/')[0]}\n" for name in files))
    for data in (folder, table):
        found = open_source(data, DataConfig()).classes
        assert found == tuple(map(str, range(12)))
        assert order_note(found) == "whole numbers in numeric order: output 2 is class 2"
    assert order_note(sorted(found)) == "whole numbers in the order of text: output 2 is class 10"


def test_the_fingerprint_does_not_depend_on_the_order(tmp_path: Path) -> None:
    """A pack that was made when numbers were sorted as text is found again."""
    from dataclasses import replace

    source = open_source(
        write(classes_of("1", "2", "10"), tmp_path, "folder", random.Random(0)), DataConfig()
    )
    before = replace(source, classes=tuple(sorted(source.classes)))
    assert before.classes != source.classes
    assert before.fingerprint(DataConfig()) == source.fingerprint(DataConfig())


def test_flags_that_change_nothing_change_no_fingerprint(tmp_path: Path) -> None:
    """What a flag does is in the items: naming the reading that was taken anyway is the same data."""
    data = write(classes_of("a", "b"), tmp_path, "folder", random.Random(0))
    plain = open_source(data, DataConfig()).fingerprint(DataConfig())
    said = DataConfig(layout="classes", class_names="exact", links="follow")
    assert open_source(data, said).fingerprint(said) == plain


ALIKE = [
    ("cat", "cat "), (" cat", "cat"), ("A", "a"), ("Straße", "STRASSE"), ("hot dog", "hot  dog"),
    ("hot dog", "hot\u00a0dog"), ("\uff43\uff41\uff54", "cat"), ("cat\u200b", "cat"), ("ﬁsh", "fish"),
    ("İ", "i\u0307"), ("a\u0323\u0307", "a\u0307\u0323 "),
]  # fmt: skip


@pytest.mark.parametrize("names", ALIKE)
def test_names_that_look_alike_are_refused_unless_they_are_taken_as_they_are(
    names: tuple[str, str], tmp_path: Path
) -> None:
    """And the message names both, and the flag."""
    data = write(classes_of(*names, "zebra"), tmp_path, "zip", random.Random(0))
    with pytest.raises(InputError, match=r"--data\.class-names exact") as refused:
        open_source(data, DataConfig())
    assert all(repr(name)[1:-1] in str(refused.value) for name in names if name.isascii())
    assert len(open_source(data, DataConfig(class_names="exact")).classes) == 3


def test_the_key_by_the_hundred() -> None:
    """Blanks, case and invisible characters anywhere never tell names apart; letters and digits do."""
    dice = random.Random(0)
    for _ in range(300):
        words = [
            "".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=4)) for _ in range(2)
        ]
        plain = " ".join(words)
        other = dice.choice((" ", "  ", "\u00a0")).join(
            dice.choice((w, w.upper(), w.title())) for w in words
        )
        other = dice.choice(("", " ", "\u200b")) + other + dice.choice(("", " ", "\u2060"))
        assert same_class_key(other) == same_class_key(plain)
        assert same_class_key(plain + "x") != same_class_key(plain)
    assert alike_classes(["b", "a", "A", "B ", "c"]) == [["A", "a"], ["B ", "b"]]


def test_a_class_of_val_that_is_written_otherwise_is_told(tmp_path: Path) -> None:
    """train/cat and val/Cat: the message shows both."""
    files = {
        f"{place}/1.png": png(n) for n, place in enumerate(("train/cat", "train/dog", "val/Cat"))
    }
    with pytest.raises(InputError, match=r"'Cat'\n.*'cat'"):
        open_source(write(files, tmp_path, "folder", random.Random(0)), DataConfig())
