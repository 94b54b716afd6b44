"""Labels as tables have them: one-hot columns, several labels in a cell, numbers with names, none."""

import json
import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from support.images.tables import csv_text
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError

ISIC = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
NAMES = ("scab", "rust", "healthy", "frog_eye", "mildew", "complex")


def write(path: Path, rows: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("seed", range(60))
def test_one_hot_columns_give_the_class_of_the_one(
    tmp_path: Path, write_images: Callable, labels_of: Callable, seed: int
) -> None:
    """0 and 1, 0.0 and 1.0; among other columns, in any place; a column without a one is no class."""
    draw = random.Random(seed)
    classes = draw.sample(ISIC, draw.randint(2, 7))
    one, zero = draw.choice((("1", "0"), ("1.0", "0.0"), ("True", "False"), ("1.00", "0.00")))
    names = [f"ISIC_{number:07}" for number in range(30)]
    contents = write_images([f"{name}.jpg" for name in names], draw.choice(("", "images")))
    truth = [draw.choice(classes) for _ in names]
    truth[: len(classes)] = classes
    before = draw.choice(([], ["age"], ["sex", "age"]))
    after = draw.choice(([], ["lesion_id"], ["score"]))
    rows: list[list[object]] = [
        [draw.choice(("image", "image_name", "id")), *before, *classes, *after]
    ]
    for number, (name, label) in enumerate(zip(names, truth, strict=True)):
        more = {
            "age": 20 + number % 40,
            "sex": "mf"[number % 2],
            "lesion_id": f"L{number}",
            "score": 0.25,
        }
        hot = [one if label == each else zero for each in classes]
        rows.append([name, *(more[key] for key in before), *hot, *(more[key] for key in after)])
    table = write(tmp_path / "GroundTruth.csv", rows)
    assert {key: label for key, (label, _) in labels_of(table).items()} == dict(
        zip(contents, truth, strict=True)
    )


@pytest.mark.parametrize("seed", range(40))
def test_rows_with_two_ones_are_refused_dropped_or_joined(
    tmp_path: Path, write_images: Callable, labels_of: Callable, seed: int
) -> None:
    """The message says that there are several labels, and each of its remedies works."""
    draw = random.Random(seed)
    classes = draw.sample(ISIC, draw.randint(3, 7))
    names = [f"{number}.png" for number in range(30)]
    contents = write_images(names)
    truth = [{classes[number % len(classes)]} for number in range(30)]
    twice = draw.randint(len(classes), 29)
    truth[twice] = set(draw.sample(classes, 2))
    rows: list[list[object]] = [["image", *classes]]
    rows += [
        [name, *(int(c in has) for c in classes)] for name, has in zip(names, truth, strict=True)
    ]
    table = write(tmp_path / "labels.csv", rows)
    with pytest.raises(InputError, match="several labels") as error:
        open_source(table, DataConfig())
    assert f"line {twice + 2}" in str(error.value)
    assert "--data.multi-label drop" in str(error.value)
    assert set(labels_of(table, multi_label="drop")) == {*contents} - {contents[twice]}
    joined = labels_of(table, multi_label="joint")
    assert joined[contents[twice]][0] == "+".join(sorted(truth[twice]))
    one = labels_of(table, columns=f"label={classes[0]}")
    assert one[contents[0]][0] == "1"
    assert one[contents[1]][0] == "0"


FORMS: dict[str, Callable[[list[str]], str]] = {
    "space": " ".join,
    "bar": "|".join,
    "semicolon": ";".join,
    "comma": ",".join,
    "python list": str,
    "json list": json.dumps,
    "numpy": lambda labels: "[" + " ".join(map(repr, labels)) + "]",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(8))
def test_cells_of_several_labels_are_refused_and_can_be_dropped(
    tmp_path: Path, write_images: Callable, labels_of: Callable, form: str, seed: int
) -> None:
    """However they are joined; one label in the same form is that label."""
    draw = random.Random(seed)
    names = [f"{number}.png" for number in range(40)]
    contents = write_images(names)
    truth = [[NAMES[number % len(NAMES)]] for number in range(40)]
    for number in draw.sample(range(6, 40), draw.choice((1, 5, 15))):
        truth[number] = draw.sample(NAMES, draw.choice((2, 2, 3)))
    rows: list[list[object]] = [["image", draw.choice(("labels", "tags", "Finding Labels"))]]
    rows += [[name, FORMS[form](has)] for name, has in zip(names, truth, strict=True)]
    table = write(tmp_path / "train.csv", rows)
    with pytest.raises(InputError, match="several labels"):
        open_source(table, DataConfig())
    alone = {one: has[0] for one, has in zip(contents, truth, strict=True) if len(has) == 1}
    dropped = labels_of(table, multi_label="drop")
    assert {key: label for key, (label, _) in dropped.items()} == alone
    joined = labels_of(table, multi_label="joint")
    assert joined[contents[0]][0] == NAMES[0]
    assert len(joined) == 40


@pytest.mark.parametrize(
    "classes",
    [
        ("golden retriever", "labrador retriever", "poodle", "toy poodle"),
        ("black bear", "brown bear", "black cat", "brown cat"),
        ("Ankle boot", "Bag", "T-shirt", "Dress"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, white shark"),
        ("C", "C++", "Java"),
        ("no finding", "finding"),
        ("acne vulgaris", "acne rosacea", "acne"),
        tuple(
            f"{a} {b}"
            for a in ("red", "blue", "green", "old")
            for b in ("car", "bus", "van", "cab")
        ),
    ],
)
def test_names_of_several_words_are_names(
    tmp_path: Path, write_images: Callable, labels_of: Callable, classes: tuple[str, ...]
) -> None:
    """Words that names share are no labels of their own."""
    names = [f"{number}.png" for number in range(48)]
    write_images(names)
    rows: list[list[object]] = [["image", "label"]]
    rows += [[name, classes[number % len(classes)]] for number, name in enumerate(names)]
    found = labels_of(write(tmp_path / "t.csv", rows))
    assert {label for label, _ in found.values()} == set(classes)


def test_many_yes_or_no_columns_are_several_labels(tmp_path: Path, write_images: Callable) -> None:
    """As in CelebA and CheXpert: -1 and 1, or empty cells."""
    names = [f"{number:06}.jpg" for number in range(30)]
    write_images(names, "img_align_celeba")
    attributes = ["Bald", "Smiling", "Young", "Male"]
    for values in ((-1, 1), ("", 1)):
        rows: list[list[object]] = [["image_id", *attributes]]
        rows += [[n, *(values[(i >> k) % 2] for k in range(4))] for i, n in enumerate(names)]
        with pytest.raises(InputError, match=r"several labels|not clear|no column is the label"):
            open_source(write(tmp_path / "attr.csv", rows), DataConfig())


def test_numbers_as_fractions_are_no_classes(tmp_path: Path, write_images: Callable) -> None:
    """A measurement is refused where it is called a label; 1.0 and 2.0 are 1 and 2."""
    names = [f"{number}.png" for number in range(30)]
    write_images(names)
    rows: list[list[object]] = [
        ["image", "label"],
        *([name, i / 7] for i, name in enumerate(names)),
    ]
    with pytest.raises(InputError, match=r"fractions|no column is the label"):
        open_source(write(tmp_path / "a.csv", rows), DataConfig())
    rows = [["image", "label"], *([name, f"{i % 3}.0"] for i, name in enumerate(names))]
    assert open_source(write(tmp_path / "b.csv", rows), DataConfig()).classes == ("0", "1", "2")


LISTS: dict[str, tuple[str, Callable[[list[str], int], str]]] = {
    "plain": ("classes.txt", lambda names, _start: "\n".join(names)),
    "number first": (
        "labels.txt",
        lambda names, start: "\n".join(f"{i} {name}" for i, name in enumerate(names, start)),
    ),
    "colon": (
        "class_names.txt",
        lambda names, start: "\r\n".join(f"{i}: {name}" for i, name in enumerate(names, start)),
    ),
    "number last": (
        "synsets.txt",
        lambda names, start: "\n".join(f"{name} {i}" for i, name in enumerate(names, start)),
    ),
    "darknet": ("obj.names", lambda names, _start: "\n".join(names) + "\n"),
    "json map": (
        "label_num_to_disease_map.json",
        lambda names, start: json.dumps({str(i): name for i, name in enumerate(names, start)}),
    ),
    "json list": ("classes.json", lambda names, _start: json.dumps(names)),
}


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("start", [0, 1])
def test_numbers_get_the_names_of_a_list_beside(
    tmp_path: Path, write_images: Callable, labels_of: Callable, form: str, start: int
) -> None:
    """Counted from 0 or from 1; the classes stand in the order of their numbers."""
    if form == "json list" and start:
        return  # a JSON list counts from 0
    classes = ["zebra", "ant", "mule deer", "bee", *(f"n{i:02}" for i in range(8))]
    files = [f"photos/my {number}.jpg" for number in range(36)]
    contents = write_images(files)
    name, text = LISTS[form]
    (tmp_path / name).write_text(text(classes, start))
    table = tmp_path / "train.txt"
    table.write_text("".join(f"{file} {i % 12 + start}\n" for i, file in enumerate(files)))
    expected = {one: (classes[i % 12], None) for i, one in enumerate(contents)}
    assert labels_of(table) == expected
    assert open_source(table, DataConfig()).classes == tuple(classes)


def test_a_list_that_may_count_from_0_or_1_is_refused(
    tmp_path: Path, write_images: Callable
) -> None:
    """Neither 0 nor the last number occurs."""
    files = [f"{number}.jpg" for number in range(30)]
    write_images(files)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    table = tmp_path / "t.txt"
    table.write_text("".join(f"{file} {i % 3 + 1}\n" for i, file in enumerate(files)))
    with pytest.raises(InputError, match="from 0 or from 1"):
        open_source(table, DataConfig())


def test_two_label_columns_that_say_the_same_are_one(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """The names are taken, not the numbers; columns that differ are refused with both names."""
    names = [f"{number}.png" for number in range(30)]
    write_images(names)
    pairs = [("cat", 3), ("dog", 1), ("ant", 2)]
    for first, second in combinations(("class_id", "class_name"), 2):
        rows: list[list[object]] = [["image", first, second]]
        rows += [[name, pairs[i % 3][1], pairs[i % 3][0]] for i, name in enumerate(names)]
        found = labels_of(write(tmp_path / "t.csv", rows))
        assert {label for label, _ in found.values()} == {"cat", "dog", "ant"}
    rows = [
        ["image", "diagnosis", "target"],
        *([n, "ab"[i % 2], i % 3] for i, n in enumerate(names)),
    ]
    table = write(tmp_path / "u.csv", rows)
    with pytest.raises(InputError, match="not clear which column is the label") as error:
        open_source(table, DataConfig())
    assert "label=diagnosis" in str(error.value)
    found = labels_of(table, columns="label=target")
    assert {label for label, _ in found.values()} == {"0", "1", "2"}


@pytest.mark.parametrize("seed", range(30))
def test_columns_beside_a_one_hot_block_are_left_away(
    tmp_path: Path, write_images: Callable, labels_of: Callable, seed: int
) -> None:
    """A 0/1 column that is no class, before or after, unless it makes more than half of them."""
    draw = random.Random(seed)
    classes = draw.sample(ISIC, draw.randint(3, 7))
    names = [f"{number}.png" for number in range(40)]
    contents = write_images(names)
    truth = [classes[number % len(classes)] for number in range(40)]
    left, right = draw.choice(((["male"], []), ([], ["biopsied"]), (["male"], ["biopsied"])))
    if len(classes) == 3:
        right = []
    rows: list[list[object]] = [["image", *left, *classes, *right]]
    for number, (name, label) in enumerate(zip(names, truth, strict=True)):
        more = [(number // 2 + place) % 2 for place in range(2)]
        hot = [int(label == each) for each in classes]
        rows.append([name, *more[: len(left)], *hot, *more[: len(right)]])
    found = labels_of(write(tmp_path / "t.csv", rows))
    assert {key: label for key, (label, _) in found.items()} == dict(
        zip(contents, truth, strict=True)
    )


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"kind": "ab", "weather": "xyz"}, None),
        ({"dog_breed": "ab", "colour": "xyz"}, "dog_breed"),
        ({"cell_type": "ab"}, "cell_type"),
        ({"cell_type": "ab", "localization": "xyz", "sex": "mf"}, "cell_type"),
        ({"dx": "ab", "dx_type": "xyz"}, "dx"),
        ({"answer": "ab", "site": "xyz"}, "answer"),
        ({"answer": "ab", "question": "xyz"}, None),
        ({"answer": "abc", "cropped": "0100", "blurry": "00010"}, None),
        ({"label": "abc", "cropped": "0100", "blurry": "1010"}, "label"),
        ({"sex": "mf"}, "sex"),
        ({"label": "ab", "sublabel": "xyz", "label_source": "pq"}, "label"),
        ({"landmark_id": "12", "url": "ab"}, "landmark_id"),
        ({"diagnosis": "ab", "target": "010"}, None),
        ({"class_id": "123", "class_name": "xyz"}, "class_name"),
    ],
)
def test_the_label_is_taken_where_it_is_clear(
    tmp_path: Path,
    write_images: Callable,
    labels_of: Callable,
    columns: dict[str, str],
    label: str | None,
) -> None:
    """A usual name, a word in a name, the only column that may be one; else the candidates are named."""
    names = [f"{number}.png" for number in range(30)]
    contents = write_images(names)
    rows: list[list[object]] = [["image", *columns]]
    rows += [[name, *(v[n % len(v)] for v in columns.values())] for n, name in enumerate(names)]
    table = write(tmp_path / "t.csv", rows)
    if label is None:
        with pytest.raises(InputError, match="not clear which column is the label") as error:
            open_source(table, DataConfig())
        for name in columns:
            assert f"--data.columns label={name}" in str(error.value)
            found = labels_of(table, columns=f"label={name}")
            assert {label for label, _ in found.values()} == set(columns[name])
    else:
        values = columns[label]
        expected = {one: (values[n % len(values)], None) for n, one in enumerate(contents)}
        assert labels_of(table) == expected


def test_zeros_before_a_number_belong_to_the_name(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """007 is a code; a list of names counts it as 7."""
    names = [f"{number}.png" for number in range(30)]
    contents = write_images(names)
    rows: list[list[object]] = [
        ["image", "label"],
        *([n, f"{i % 3:03}"] for i, n in enumerate(names)),
    ]
    table = write(tmp_path / "t.csv", rows)
    assert labels_of(table) == {one: (f"{i % 3:03}", None) for i, one in enumerate(contents)}
    (tmp_path / "classes.txt").write_text("ant\nbee\ncow\n")
    assert {label for label, _ in labels_of(table).values()} == {"ant", "bee", "cow"}


def test_labels_that_differ_by_spaces_are_refused_as_folders_are(
    tmp_path: Path, write_images: Callable
) -> None:
    """They are too alike to be told apart, and no labels of two words."""
    names = [f"{number}.png" for number in range(30)]
    write_images(names)
    labels = ("golden retriever", "golden  retriever", "cat")
    table = write(
        tmp_path / "t.csv", [["image", "label"], *([n, labels[i % 3]] for i, n in enumerate(names))]
    )
    with pytest.raises(InputError, match="the same but for case, spaces"):
        open_source(table, DataConfig())
    assert len(open_source(table, DataConfig(class_names="exact")).classes) == 3
