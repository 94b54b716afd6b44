"""Data sets of random layout are read as they were made: in folders, zips and tars."""

import random
from pathlib import Path

import pytest

from support.images.layouts import (
    CONTAINERS,
    Made,
    add,
    classes_alone,
    given_splits,
    png,
    splits_inside,
    write,
)
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Source
from tutelage.errors import InputError

DATA = DataConfig()
KINDS = {"splits": given_splits, "classes": classes_alone, "inside": splits_inside}


def require_truth(source: Source, made: Made) -> None:
    """Every image has the split and the class it was made with, and its bytes; no other is there."""
    known = {made.files[name]: truth for name, truth in made.truth.items()}
    found = {item.read(): (item.split, item.label) for item in source.items}
    assert found == {raw: truth for raw, truth in known.items() if truth}
    passed = sum(truth is None for truth in made.truth.values())
    system = source.ignored.get("system file", 0) + source.ignored.get("hidden", 0)
    assert bool(system) >= bool(passed)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", KINDS)
def test_layouts_are_read_as_they_were_made(kind: str, container: str, tmp_path: Path) -> None:
    """Twenty-five of each kind in each container, 525 in all."""
    for seed in range(25):
        dice = random.Random(f"{kind} {container} {seed}")
        made = KINDS[kind](dice)
        place = tmp_path / str(seed)
        place.mkdir()
        source = open_source(write(made.files, place, container, dice), DATA)
        require_truth(source, made)
        assert source.description["reading"].startswith(f"{len(source.classes)} classes")


def test_the_flag_takes_either_reading(tmp_path: Path) -> None:
    """What can be read in two ways is refused with both flags, and each flag gives what it says."""
    for seed in range(60):
        dice = random.Random(seed)
        made = Made({}, {})
        word = dice.choice(("train", "Training_set", "train_images"))
        other = dice.choice(("more", "extra", "bus", "second batch"))
        for top in (word, other):
            for label in ("cat", "dog"):
                add(made, f"{top}/{label}", 2, ("train", label))
        place = tmp_path / str(seed)
        place.mkdir()
        data = write(made.files, place, dice.choice(CONTAINERS), dice)
        with pytest.raises(InputError) as refused:
            open_source(data, DATA)
        text = str(refused.value)
        assert "--data.layout classes" in text
        assert "--data.layout splits" in text
        assert f"passes over {other}/" in text
        assert set(open_source(data, DataConfig(layout="classes")).classes) == {word, other}
        splits = open_source(data, DataConfig(layout="splits"))
        assert splits.classes == ("cat", "dog")
        assert {item.split for item in splits.items} == {"train"}
        assert splits.ignored == {"image in a folder that is no split": 4}


def test_every_container_gives_the_same_reading(tmp_path: Path) -> None:
    """One layout in seven containers: the same images, classes, splits, sentence and files passed over."""
    made = given_splits(random.Random("one"))
    found = []
    for container in CONTAINERS:
        (tmp_path / container).mkdir()
        source = open_source(
            write(made.files, tmp_path / container, container, random.Random(1)), DATA
        )
        rows = [(item.read(), item.split, item.label) for item in source.items]
        found.append((sorted(rows), source.classes, source.ignored))
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize(
    ("tops", "says"),
    [
        (("bus", "car", "test"), "two readings"),  # unlabelled images, or a class?
        (("bus", "train", "test"), "two readings"),
        (("val", "test"), "there is no train folder"),
        (("train", "test"), "holds no images in class folders"),
    ],
)
def test_flat_folders_that_may_be_splits_are_refused(
    tops: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    """And `--data.layout classes` makes a class of each."""
    made = Made({}, {})
    for top in tops:
        add(made, top, 3, (None, top))
    data = write(made.files, tmp_path, "folder", random.Random(0))
    with pytest.raises(InputError, match=says) as refused:
        open_source(data, DATA)
    assert "--data.layout classes" in str(refused.value)
    require_truth(open_source(data, DataConfig(layout="classes")), made)


def test_the_same_folders_in_every_folder_are_refused(tmp_path: Path) -> None:
    """Art/clock and Photo/clock: the classes may be on either level."""
    made = Made({}, {})
    for top in ("Art", "Photo"):
        for label in ("clock", "mug"):
            add(made, f"{top}/{label}", 2, (None, top))
    data = write(made.files, tmp_path, "folder", random.Random(0))
    with pytest.raises(InputError, match="clock, mug") as refused:
        open_source(data, DATA)
    assert str(data / "Art") in str(refused.value)
    assert open_source(data / "Art", DATA).classes == ("clock", "mug")
    require_truth(open_source(data, DataConfig(layout="classes")), made)


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    """Of train and training_set, which is it?"""
    made = Made({}, {})
    for top in ("train", "training_set", "val"):
        for label in ("cat", "dog"):
            add(made, f"{top}/{label}", 2, None)
    with pytest.raises(InputError, match="two folders stand for train"):
        open_source(write(made.files, tmp_path, "folder", random.Random(0)), DATA)


def test_folders_of_unlabelled_images_beside_splits_are_passed_over(tmp_path: Path) -> None:
    """seg_pred beside seg_train and seg_test, doubled as Kaggle does."""
    made = Made({}, {})
    for split in ("train", "test"):
        for label in ("sea", "forest"):
            add(made, f"seg_{split}/seg_{split}/{label}", 2, (split, label))
    add(made, "seg_pred/seg_pred", 5, None)
    source = open_source(write(made.files, tmp_path, "folder", random.Random(0)), DATA)
    assert source.ignored == {"image in a folder that is no split": 5}
    assert source.description["reading"] == (
        "2 classes in 2 splits: seg_train is train, seg_test is test; val is drawn from train; "
        "passed over: seg_pred, no split"
    )


def test_nested_class_folders_are_said_aloud(tmp_path: Path) -> None:
    """The image train/animals/cat/0.png is of the class animals, and the sentence shows it."""
    made = Made({}, {})
    for group, names in {"animals": ("cat", "dog"), "plants": ("oak", "elm")}.items():
        for name in names:
            add(made, f"train/{group}/{name}", 2, ("train", group))
    source = open_source(write(made.files, tmp_path, "folder", random.Random(0)), DATA)
    require_truth(source, made)
    assert "train/animals/cat/0.png is animals" in source.description["reading"]


def test_folders_of_no_class_are_refused(tmp_path: Path) -> None:
    """images/ and masks/ are no classes; the folder of the images is named."""
    data = write(
        {f"{top}/{n}.png": png(n) for top in ("images", "masks") for n in range(3)},
        tmp_path, "folder", random.Random(0),
    )  # fmt: skip
    with pytest.raises(InputError, match="do not look like classes"):
        open_source(data, DATA)


@pytest.mark.parametrize("container", ["folder", "zip", "tgz"])
def test_a_copy_of_the_folders_beside_it_is_passed_over(container: str, tmp_path: Path) -> None:
    """As in the archive of chest X-rays on Kaggle; with one file more it is no copy, and refused."""
    made = Made({}, {})
    for split in ("train", "val", "test"):
        for label in ("normal", "pneumonia"):
            add(made, f"chest_xray/{split}/{label}", 2, (split, label))
    copy = {f"chest_xray/{name}": raw for name, raw in made.files.items()}
    data = write(made.files | copy, tmp_path, container, random.Random(0))
    source = open_source(data, DATA)
    assert source.ignored == {"second copy of the folders beside it": 12}
    require_truth(source, made)
    (tmp_path / "more").mkdir()
    copy["chest_xray/chest_xray/train/normal/more.png"] = png(99)
    data = write(made.files | copy, tmp_path / "more", container, random.Random(0))
    with pytest.raises(InputError, match="two readings"):
        open_source(data, DATA)


def test_splits_in_folders_that_hold_classes_are_refused(tmp_path: Path) -> None:
    """In site/train/cat the class may be the site or the cat."""
    made = Made({}, {})
    for site in ("north", "south"):
        for split in ("train", "test"):
            for label in ("cat", "dog"):
                add(made, f"{site}/{split}/{label}", 2, (split, label))
    data = write(made.files, tmp_path, "folder", random.Random(0))
    with pytest.raises(InputError, match="cat, dog"):
        open_source(data, DATA)
    assert open_source(data / "south", DATA).classes == ("cat", "dog")
