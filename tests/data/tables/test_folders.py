"""Folders with tables in them: Kaggle's, HAM10000's, Hugging Face's; and class folders, which win."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.images.known_sets import DX, write_competition, write_ham10000, write_table
from tutelage.cli import call
from tutelage.config.data import DataConfig
from tutelage.data.pack.pack import open_pack
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError


@pytest.mark.parametrize("given", ["", "HAM10000_metadata.csv"])
def test_ham10000_is_checked_and_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    """The whole way: the folder or its table, through `check` and `pack`."""
    truth = write_ham10000(tmp_path / "ham")
    call(["check", str(tmp_path / "ham" / given)])
    said = capsys.readouterr().out
    assert "84 images of 7 classes" in said
    assert "path: image_id (100% of its cells lead to files)" in said
    assert "label: dx (by its name)" in said
    pack = tmp_path / "pack"
    folder = tmp_path / "ham" / given
    call(["pack", str(folder), "--image-size", "8", "--out", str(pack), "--quiet"])
    packed = open_pack(pack)
    assert packed.classes == tuple(sorted(DX))
    lines = (pack / "images.csv").read_text().splitlines()[1:]
    assert {Path(line.split(",")[3]).stem: line.split(",")[2] for line in lines} == truth


@pytest.mark.parametrize("given", ["", "HAM10000_metadata.csv"])
def test_ham10000_comes_with_its_folders_twice(tmp_path: Path, given: str) -> None:
    """One of two copies is read; files of one name that differ are not found."""
    truth = write_ham10000(tmp_path)
    for part in "12":
        copy = tmp_path / f"ham10000_images_part_{part}_copy"
        shutil.copytree(tmp_path / f"HAM10000_images_part_{part}", copy)
    source = open_source(tmp_path / given, DataConfig())
    assert {Path(item.name).stem: item.label for item in source.items} == truth
    assert len(source.items) == len(truth)
    for changed in tmp_path.glob("ham*/*"):
        changed.write_bytes(changed.read_bytes()[::-1])
    with pytest.raises(InputError, match="several files have that name"):
        open_source(tmp_path / given, DataConfig())


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("names", [("train", "test"), ("train_images", "test_images")])
@pytest.mark.parametrize("test_table", [True, False])
def test_kaggle_is_checked_and_packed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    numbered: bool,
    names: tuple[str, str],
    test_table: bool,
) -> None:
    """Images of test have no labels, even where they have the names of training images."""
    root = tmp_path / "competition"
    truth, test = write_competition(root, names, numbered=numbered, test_table=test_table)
    call(["check", str(root)])
    assert "sample_submission.csv (an example of a submission)" in capsys.readouterr().out
    source = open_source(root, DataConfig())
    assert {i.name: i.label for i in source.items if i.split == "train"} == truth
    assert {i.name for i in source.items if i.split == "test"} == test
    assert all(i.label is None for i in source.items if i.split == "test")
    pack = tmp_path / "pack"
    call(["pack", str(root), "--image-size", "8", "--out", str(pack), "--quiet"])
    assert len(open_pack(pack).rows("test")) == 50


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("each", [True, False])
def test_imagefolder_of_hugging_face(
    tmp_path: Path, write_images: Callable, labels_of: Callable, kind: str, each: bool
) -> None:
    """`metadata` beside the images of each split, or one for all with the split in the paths."""
    expected = {}
    rows: dict[str, list[tuple[str, str]]] = {}
    for split, name, count in (
        ("train", "train", 24),
        ("val", "validation", 9),
        ("test", "test", 9),
    ):
        for n, content in enumerate(write_images([f"{n}.png" for n in range(count)], name)):
            expected[content] = ("abc"[n % 3], split)
            where, path = (name, f"{n}.png") if each else ("", f"{name}/{n}.png")
            rows.setdefault(where, []).append((path, "abc"[n % 3]))
    for where, pairs in rows.items():
        table = tmp_path / where / f"metadata.{kind}"
        objects = [
            {"file_name": path, "label": label, "text": f"see {path}"} for path, label in pairs
        ]
        if kind == "csv":
            write_table(table, [[*objects[0]], *([*one.values()] for one in objects)])
        else:
            table.write_text("".join(json.dumps(one) + "\n" for one in objects))
    assert labels_of(tmp_path) == expected


def test_a_table_for_each_split(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """train, val and test: tables beside the images, or in a folder of annotations."""
    contents = write_images([f"imgs/{n}.jpg" for n in range(45)])
    for where in ("", "annotations", "anno/{}"):
        for path in tmp_path.rglob("*.csv"):
            path.unlink()
        expected = {}
        for first, split, name in (
            (0, "train", "train"),
            (25, "val", "valid"),
            (35, "test", "test"),
        ):
            rows = range(first, first + (25 if split == "train" else 10))
            write_table(
                tmp_path / where.format(name) / f"{name if '{' not in where else 'labels'}.csv",
                [["filename", "class"], *([f"imgs/{n}.jpg", "xy"[n % 2]] for n in rows)],
            )
            expected |= {contents[n]: ("xy"[n % 2], split) for n in rows}
        assert labels_of(tmp_path) == expected


def test_one_hot_tables_as_roboflow_exports_them(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """`_classes.csv` in each split folder, with spaces in its header."""
    expected = {}
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        contents = write_images([f"{n}.jpg" for n in range(12)], name)
        lines = [f"{n}.jpg, {int(n % 2 == 0)}, {int(n % 2)}" for n in range(12)]
        (tmp_path / name / "_classes.csv").write_text("\n".join(["filename, cat, dog", *lines]))
        expected |= {one: (("cat", "dog")[n % 2], split) for n, one in enumerate(contents)}
    assert labels_of(tmp_path) == expected


@pytest.mark.parametrize("seed", range(20))
def test_class_folders_win_over_a_table(tmp_path: Path, write_images: Callable, seed: int) -> None:
    """A table beside class folders changes nothing, if it says the same or nothing of labels."""
    draw = random.Random(seed)
    classes = draw.sample(("cat", "dog", "cow", "0", "1", "oak tree", "Übung"), 3)
    top = draw.choice(("", "train/"))
    names = [f"{top}{name}/{n}.jpg" for name in classes for n in range(6)]
    if top:
        names += [name.replace("train/", "val/") for name in names]
    write_images(names)
    before = open_source(tmp_path, DataConfig())
    values = {name: name.split("/")[-2].upper() for name in names}
    column = draw.choice(("label", "photographer"))
    if column == "photographer":
        values = {name: "ab"[place % 2] for place, name in enumerate(names)}
    write_table(tmp_path / "t.csv", [["file", column], *([*pair] for pair in values.items())])
    after = open_source(tmp_path, DataConfig())
    assert after.classes == before.classes == tuple(sorted(classes))
    assert [(i.name, i.label, i.split) for i in after.items] == [
        (i.name, i.label, i.split) for i in before.items
    ]


@pytest.mark.parametrize("top", ["", "images/", "train/"])
@pytest.mark.parametrize("labels", ["ab", "abc", "a"])
def test_a_table_that_contradicts_class_folders_is_refused(
    tmp_path: Path, write_images: Callable, labels_of: Callable, top: str, labels: str
) -> None:
    """Folders by person and labels by table: both readings are named, and both remedies work."""
    names = [f"{top}{name}/{n}.jpg" for name in ("john", "mary", "ann") for n in range(12)]
    if top == "train/":
        names += [name.replace("train/", "test/") for name in names]
    contents = write_images(names)
    values = [labels[n // 3 % len(labels)] if n % 7 else "z" for n in range(len(names))]
    table = tmp_path / "labels.csv"
    write_table(table, [["path", "label"], *([*pair] for pair in zip(names, values, strict=True))])
    with pytest.raises(InputError, match="group the images differently") as error:
        open_source(tmp_path, DataConfig())
    layout = "splits" if top == "train/" else "classes"
    assert f"--data.layout {layout}" in str(error.value)
    assert str(table) in str(error.value)
    assert open_source(tmp_path, DataConfig(layout=layout)).classes == ("ann", "john", "mary")
    found = labels_of(table)
    assert {one: label for one, (label, _) in found.items()} == dict(
        zip(contents, values, strict=True)
    )


def test_splits_of_a_table_beside_class_folders_are_said(
    tmp_path: Path, write_images: Callable
) -> None:
    """The folders have none: that the table's are not used stands in the reading."""
    names = [f"{name}/{n}.jpg" for name in ("cat", "dog") for n in range(12)]
    write_images(names)
    rows = [[n, n.split("/")[0], ("train", "test")[i % 2]] for i, n in enumerate(names)]
    write_table(tmp_path / "t.csv", [["path", "label", "split"], *rows])
    assert (
        "splits of t.csv are not used" in open_source(tmp_path, DataConfig()).description["reading"]
    )
    assert {i.split for i in open_source(tmp_path / "t.csv", DataConfig()).items} == {
        "train",
        "test",
    }


def test_several_tables_are_refused_with_their_names(
    tmp_path: Path, write_images: Callable
) -> None:
    """One of them in place of the folder is the remedy, and it works."""
    names = [f"imgs/{n}.jpg" for n in range(20)]
    write_images(names)
    for table, letters in (("first.csv", "ab"), ("second.csv", "cd")):
        write_table(
            tmp_path / table,
            [["path", "label"], *([n, letters[i % 2]] for i, n in enumerate(names))],
        )
    with pytest.raises(InputError, match=r"first.csv, second.csv"):
        open_source(tmp_path, DataConfig())
    assert open_source(tmp_path / "second.csv", DataConfig()).classes == ("c", "d")


def test_a_missing_training_image_is_not_the_test_image_of_its_number(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """train/7.jpg is missing, test/7.jpg is there: the row is set aside."""
    write_images([f"{n}.jpg" for n in range(40) if n != 7], "train")
    test = write_images([f"{n}.jpg" for n in range(60)], "test")
    write_table(tmp_path / "labels.csv", [["id", "label"], *([n, "ab"[n % 2]] for n in range(40))])
    assert test[7] not in labels_of(tmp_path / "labels.csv")
    assert labels_of(tmp_path)[test[7]] == (None, "test")


def test_files_that_are_mostly_missing_are_said(tmp_path: Path, write_images: Callable) -> None:
    """The message names an example, its line, and where it looked; `--data.images` mends it."""
    contents = write_images([f"{n}.jpg" for n in range(20)], "far/away")
    table = tmp_path / "tables" / "t.csv"
    write_table(table, [["path", "label"], *([f"{n}.jpg", "ab"[n % 2]] for n in range(20))])
    with pytest.raises(InputError) as error:
        open_source(table, DataConfig())
    for part in ("line 2", "0.jpg", str(tmp_path / "tables"), "--data.images", "20 of 20"):
        assert part in str(error.value)
    source = open_source(table, DataConfig(images=str(tmp_path / "far")))
    assert {item.read() for item in source.items} == {*contents}


@pytest.mark.parametrize("given", [("train", "val", "test"), ("train_val", "test"), ("test",)])
def test_lists_of_images_are_the_splits_of_a_table_of_labels(
    tmp_path: Path, write_images: Callable, labels_of: Callable, given: tuple[str, ...]
) -> None:
    """As in NIH's chest X-rays: labels in one table, a list of paths for each split."""
    contents = write_images([f"imgs/{n}.jpg" for n in range(40)])
    write_table(
        tmp_path / "labels.csv",
        [["path", "label"], *([f"imgs/{n}.jpg", "xyz"[n % 3]] for n in range(40))],
    )
    parts = {
        "train": range(24),
        "train_val": range(30),
        "val": range(24, 30),
        "test": range(30, 38),
    }
    expected = {}
    for name in given:
        (tmp_path / f"{name}_list.txt").write_text("".join(f"imgs/{n}.jpg\n" for n in parts[name]))
        split = name.removesuffix("_val")
        expected |= {contents[n]: ("xyz"[n % 3], split) for n in parts[name]}
    if given == ("test",):
        expected = {one: ("xyz"[n % 3], "train") for n, one in enumerate(contents)} | expected
    assert labels_of(tmp_path) == expected


def test_an_image_in_two_tables_is_refused(tmp_path: Path, write_images: Callable) -> None:
    """Both tables are named, with their lines."""
    write_images([f"{n}.jpg" for n in range(30)], "imgs")
    for name, rows in (("train", range(20)), ("test", range(19, 30))):
        write_table(
            tmp_path / f"{name}.csv", [["path", "label"], *([f"imgs/{n}.jpg", n % 2] for n in rows)]
        )
    with pytest.raises(InputError, match=r"listed before, in train.csv, line 21"):
        open_source(tmp_path, DataConfig())


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("form", ["kaggle", "named", "jsonl"])
def test_archives_hold_tables_too(
    tmp_path: Path, write_images: Callable, labels_of: Callable, kind: str, form: str
) -> None:
    """With a folder around all of it, and an example of a submission."""
    contents = write_images([f"set/train/{n}.png" for n in range(30)])
    tests = write_images([f"set/test/{n}.png" for n in range(9)])
    names = ("id", "breed") if form == "kaggle" else ("image_id", "label")
    if form == "jsonl":
        lines = [
            json.dumps({"file_name": f"train/{n}.png", "label": "ab"[n % 2]}) for n in range(30)
        ]
        (tmp_path / "set" / "metadata.jsonl").write_text("\n".join(lines))
    else:
        write_table(
            tmp_path / "set" / "train.csv", [[*names], *([n, "ab"[n % 2]] for n in range(30))]
        )
        write_table(
            tmp_path / "set" / "sample_submission.csv", [[*names], *([n, "a"] for n in range(9))]
        )
    data = Path(
        shutil.make_archive(
            str(tmp_path / "data"), {"tar.gz": "gztar"}.get(kind, kind), tmp_path, "set"
        )
    )
    expected = {one: ("ab"[n % 2], "train") for n, one in enumerate(contents)}
    assert labels_of(data) == expected | dict.fromkeys(tests, (None, "test"))
