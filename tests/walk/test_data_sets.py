"""Public data sets as they are downloaded, in small: each goes from its folder to a report by one command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.images.known_sets import DX, write_ham10000

TINY = [
    f"--{who}.{name}"
    for who in ("teacher", "student")
    for name in ("model=test_resnet", "weights=none", "epochs=1", "batch-size=8")
]
SETTINGS = [*TINY, "--image-size", "32", "--seeds", "1", "--skip-teacher-check", "--device", "cpu"]


def paint(path: Path, number: int, seed: int) -> None:
    """Write an image of a class: its colour, and noise that no other image has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([number, seed]).integers(0, 60, (40, 48, 3))
    colour = [number * 67 % 190, number * 131 % 190, number * 29 % 190]
    Image.fromarray((noise + colour).astype(np.uint8)).save(path)


def cats_and_dogs(root: Path) -> list[str]:
    """Kaggle's Dogs vs. Cats: train/cat.0.jpg, and test/ with numbers alone."""
    for number, name in enumerate(("cat", "dog")):
        for n in range(24):
            paint(root / "train" / f"{name}.{n}.jpg", number, n)
    for n in range(1, 9):
        paint(root / "test1" / f"{n}.jpg", n % 2, 100 + n)
    (root / "sampleSubmission.csv").write_text("id,label\n1,0\n2,0\n")
    return ["cat", "dog"]


def imagenet(root: Path) -> list[str]:
    """ImageNet as torchvision wants it: splits of synsets, with the list of their names beside."""
    synsets = ["n01440764", "n01443537", "n02102040"]
    for number, name in enumerate(synsets):
        for n in range(20):
            paint(root / "train" / name / f"{name}_{n}.JPEG", number, n)
        for n in range(6):
            paint(root / "val" / name / f"ILSVRC2012_val_{n:08}.JPEG", number, 50 + n)
    names = ("tench, Tinca tinca", "goldfish, Carassius auratus", "English springer")
    lines = [f"{synset} {name}" for synset, name in zip(synsets, names, strict=True)]
    (root / "LOC_synset_mapping.txt").write_text("\n".join(lines) + "\n")
    return synsets


def pets(root: Path) -> list[str]:
    """The Oxford-IIIT pets: all images in one folder, the breed in the file's name."""
    breeds = ["Abyssinian", "american_bulldog", "Russian_Blue"]
    for number, name in enumerate(breeds):
        for n in range(1, 21):
            paint(root / f"{name}_{n}.jpg", number, n)
    return sorted(breeds)


def roboflow(root: Path) -> list[str]:
    """Roboflow's export of a classification set: train, valid and test, and what it is."""
    for number, name in enumerate(("ripe", "unripe")):
        for split, count in (("train", 20), ("valid", 6), ("test", 6)):
            for n in range(count):
                file = f"img_{n}_png.rf.{number}{n:04}{split}.jpg"
                paint(root / split / name / file, number, len(split) * 100 + n)
    for name in ("README.dataset.txt", "README.roboflow.txt"):
        (root / name).write_text("fruit - v1\nProvided by a Roboflow user\nLicense: CC BY 4.0\n")
    return ["ripe", "unripe"]


def ham10000(root: Path) -> list[str]:
    """HAM10000 from Kaggle: a table of metadata, and the images in two folders."""
    write_ham10000(root, 84)
    return sorted(DX)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (cats_and_dogs, ["--data.label-from", "name"]),
        (imagenet, []),
        (pets, ["--data.label-from", "name"]),
        (roboflow, []),
        (ham10000, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_from_download_to_report(
    make: Callable[[Path], list[str]], words: list[str], tmp_path: Path, tutelage_command: Callable
) -> None:
    classes = make(tmp_path / "data")
    answer = tutelage_command(
        "run", tmp_path / "data", "--out", tmp_path / "job", *SETTINGS, *words
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "job" / "report" / "report.html").is_file()
    assert json.loads((tmp_path / "job" / "data.json").read_text())["classes"] == classes
    model = json.loads((tmp_path / "job" / "student-0" / "model" / "config.json").read_text())
    assert model["label_names"] == classes
    assert "data: " in answer.stderr
