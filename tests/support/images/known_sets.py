"""Small replicas of data sets as they are downloaded: HAM10000, and a competition at Kaggle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from support.images.tables import csv_text

DX = ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")


def write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(rows), encoding="utf-8")


def write_noise(folder: Path, names: Sequence[str]) -> None:
    """Write small images of noise, each another one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        dice = np.random.default_rng([number, *folder.name.encode()])
        Image.fromarray(dice.integers(0, 255, (12, 16, 3), np.uint8)).save(folder / name)


def write_ham10000(folder: Path, count: int = 84) -> dict[str, str]:
    """Write a small HAM10000 as Kaggle has it; return the class of each image."""
    names = [f"ISIC_{24306 + number:07}" for number in range(count)]
    for part, some in ((1, names[: count // 2]), (2, names[count // 2 :])):
        write_noise(folder / f"HAM10000_images_part_{part}", [f"{name}.jpg" for name in some])
    header = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    rows: list[list[object]] = [[*header]]
    for n, name in enumerate(names):
        age = "" if n == 3 else f"{40 + n % 5 * 5}.0"
        more = [("histo", "consensus")[n % 2], age, "male", ("scalp", "ear", "face")[n % 3]]
        rows.append([f"HAM_{n // 2:07}", name, DX[n % 7], *more])
    write_table(folder / "HAM10000_metadata.csv", rows)
    pixels: list[list[object]] = [[*(f"pixel{n:04}" for n in range(784)), "label"]]
    pixels += [[n % 255] * 784 + [n % 7] for n in range(count)]
    write_table(folder / "hmnist_28_28_L.csv", pixels)
    return {name: DX[n % 7] for n, name in enumerate(names)}


def write_competition(
    folder: Path, names: tuple[str, str] = ("train", "test"), *, numbered: bool, test_table: bool
) -> tuple[dict[str, str], set[str]]:
    """Write a competition as Kaggle has it; return the classes of train by file, and the files of test."""
    train = [f"{n}.jpg" if numbered else f"{n * 7919:07x}.jpg" for n in range(40)]
    test = [f"{n}.jpg" if numbered else f"t{n * 7919:06x}.jpg" for n in range(50)]
    write_noise(folder / names[0], train)
    write_noise(folder / names[1], test)
    truth = {f"{names[0]}/{name}": ("crow", "jay", "owl")[n % 3] for n, name in enumerate(train)}
    rows = [[Path(name).stem, label] for name, label in truth.items()]
    write_table(folder / "train.csv", [["id", "species"], *rows])
    if test_table:
        write_table(folder / "test.csv", [["id"], *([Path(name).stem] for name in test)])
    example = [[Path(name).stem, "crow"] for name in test]
    write_table(folder / "sample_submission.csv", [["id", "species"], *example])
    return truth, {f"{names[1]}/{name}" for name in test}
