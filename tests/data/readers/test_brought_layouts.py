"""Folders as they come from Kaggle, ImageNet, Oxford and Roboflow are checked and packed."""

import itertools
import random
from pathlib import Path

import pytest

from support.images.layouts import png, write
from tutelage.config.data import DataConfig
from tutelage.data.inspect import check_source, format_check
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import SPLITS
from tutelage.errors import InputError

SMALL = DataConfig(image_size=8)
COUNT = 12


def images(pattern: str, first: int, count: int = COUNT) -> dict[str, bytes]:
    """Images under a pattern with `{}` for a number, none like another."""
    return {pattern.format(n): png(first + n) for n in range(count)}


DOGS = {
    **images("dogs-vs-cats/train/cat.{}.jpg", 100),
    **images("dogs-vs-cats/train/dog.{}.jpg", 200),
    **images("dogs-vs-cats/test1/{}.jpg", 300),
    "dogs-vs-cats/sampleSubmission.csv": b"id,label\n1,0\n",
}
IMAGENET = {
    **images("ILSVRC/Data/train/n01440764/n01440764_{}.JPEG", 100),
    **images("ILSVRC/Data/train/n01443537/n01443537_{}.JPEG", 200),
    **images("ILSVRC/Data/val/n01440764/ILSVRC2012_val_{}.JPEG", 300, 4),
    **images("ILSVRC/Data/val/n01443537/ILSVRC2012_val_9{}.JPEG", 400, 4),
    **images("ILSVRC/Data/test/ILSVRC2012_test_{}.JPEG", 500, 4),
    "LOC_synset_mapping.txt": b"n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
}
PETS = {
    **images("images/Abyssinian_{}.jpg", 100),
    **images("images/great_pyrenees_{}.jpg", 200),
    "images/Abyssinian_100.mat": b"MATLAB 5.0 MAT-file",
}


def in_splits(pattern: str, splits: tuple[str, ...], classes: tuple[str, ...]) -> dict[str, bytes]:
    """Images of each class in each split, under a pattern with {split}, {label} and {n}."""
    found = {}
    for at, (split, label) in enumerate(itertools.product(splits, classes), 1):
        for n in range(COUNT):
            found[pattern.format(split=split, label=label, n=n)] = png(100 * at + n)
    return found


ROBOFLOW = {
    **in_splits(
        "{split}/{label}/{n}_jpg.rf.abc.jpg", ("train", "valid", "test"), ("Daisy", "Tulip")
    ),
    "README.dataset.txt": b"# flowers\nhttps://universe.roboflow.com\n",
    "README.roboflow.txt": b"classification\n",
}
INTEL = {
    **in_splits(
        "archive/seg_{split}/seg_{split}/{label}/{n}.jpg", ("train", "test"), ("sea", "forest")
    ),
    **images("archive/seg_pred/seg_pred/{}.jpg", 900, 5),
}

BY_NAME = {"label_from": "name"}
BROUGHT = {
    "dogs": (DOGS, BY_NAME, ("cat", "dog"), "labels from the names of files: cat.0.jpg is cat"),
    "imagenet": (
        IMAGENET,
        {},
        ("n01440764", "n01443537"),
        "2 classes in 3 splits: train, val, test",
    ),
    "pets": (PETS, BY_NAME, ("Abyssinian", "great_pyrenees"), "Abyssinian_0.jpg is Abyssinian"),
    "roboflow": (
        ROBOFLOW,
        {},
        ("Daisy", "Tulip"),
        "2 classes in 3 splits: train, valid is val, test",
    ),
    "intel": (INTEL, {}, ("forest", "sea"), "seg_train is train, seg_test is test"),
}


@pytest.mark.parametrize("container", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize("name", BROUGHT)
def test_data_sets_as_they_come_are_checked_and_packed(
    name: str, container: str, tmp_path: Path
) -> None:
    """The sentence says what was read, the pack holds it."""
    files, settings, classes, says = BROUGHT[name]
    data = write(files, tmp_path, container, random.Random(0))
    config = DataConfig(image_size=8, **settings)
    source = open_source(data, config)
    assert source.classes == classes
    text = "\n".join(format_check(check_source(source, config)))
    assert f"read as {len(classes)} classes" in text
    assert says in text
    pack = write_pack(source, config, tmp_path / "pack", progress=lambda *_: None)
    assert pack.classes == classes
    assert {split for split in SPLITS if len(pack.rows(split))} == {*SPLITS}
    assert not pack.quarantine()
    assert pack.manifest["source"]["reading"] == source.description["reading"]


@pytest.mark.parametrize("name", ["dogs", "pets"])
def test_labels_in_names_are_never_taken_unasked(name: str, tmp_path: Path) -> None:
    """Without the flag the error names it, with an example of what it would read."""
    data = write(BROUGHT[name][0], tmp_path, "folder", random.Random(0))
    with pytest.raises(InputError, match=r"--data\.label-from name, if .* is (cat|Abyssinian)"):
        open_source(data, SMALL)


def test_images_without_a_label_in_their_name_are_set_aside(tmp_path: Path) -> None:
    """One of them is listed; images in folders of their own are refused with the folder to give."""
    files = {**PETS, "images/cover.jpg": png(7)}
    data = write(files, tmp_path, "folder", random.Random(0))
    source = open_source(data, DataConfig(**BY_NAME))
    assert source.refused == [("images/cover.jpg", "no label in its name")]
    for n in range(3):
        (data / "masks").mkdir(exist_ok=True)
        (data / "masks" / f"Abyssinian_{n}.png").write_bytes(png(n))
    with pytest.raises(InputError, match="in folders of their own") as refused:
        open_source(data, DataConfig(**BY_NAME))
    assert str(data / "images") in str(refused.value)
    assert len(open_source(data / "images", DataConfig(**BY_NAME)).items) == 2 * COUNT


def test_file_labels_by_the_hundred() -> None:
    """Any name, separator and number: the label is what stands before the last of them."""
    from tutelage.data.readers.file_labels import label_of

    dice = random.Random(0)
    for _ in range(300):
        words = dice.sample(
            ("cat", "Great", "wire_haired", "n0144", "b2b", "été", "犬"), dice.randint(1, 3)
        )
        label = dice.choice("_- .").join(words)
        number = dice.choice(("0", "12", "007", "12500"))
        end = dice.choice((f"_{number}", f".{number}", f"-{number}", f" {number}", f" ({number})"))
        suffix = dice.choice((".jpg", ".JPEG", ".png", ""))
        assert label_of(f"folder/{label}{end}{suffix}") == label
    for name in ("12.jpg", "cat.jpg", "cat12.jpg", "_12.jpg", "cat_.jpg", "12_13.jpg"):
        assert label_of(name) in (None, "12")
