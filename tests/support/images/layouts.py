"""Make a data set of random layout, whose right reading is known because it was made from it."""

import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

CONTAINERS = ("folder", "zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")
WORDS = {
    "train": (
        "train",
        "training",
        "training_set",
        "trainset",
        "train_images",
        "train2017",
        "imgs-train",
    ),
    "val": (
        "val",
        "valid",
        "validation",
        "dev",
        "eval",
        "val_data",
        "validation set",
        "valid.images",
    ),
    "test": (
        "test",
        "testing",
        "test_set",
        "testset",
        "test1",
        "holdout",
        "hold_out",
        "images test",
    ),
}
AFFIXES = ("{}", "{}", "seg_{}", "flowers-{}", "{}_birds", "My {}", "{} (1)")
CLASSES = (
    ("cat", "dog"), ("ants", "bees", "wasps"), ("n01440764", "n01443537"), ("0", "1", "2", "10"),
    ("hot dog", "not hot dog"), ("Émile", "日本"), ("contest", "steam engine"), ("a", "b", "c", "d"),
)  # fmt: skip
SYSTEM = (
    "@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information", "__MACOSX", ".ipynb_checkpoints",
    ".git", "#recycle", "@Recently-Snapshot", ".Trash-1000", "found.000", "__pycache__",
)  # fmt: skip
SIDE_FILES = ("Thumbs.db", "desktop.ini", ".DS_Store", "README.txt", "labels.json", "notes.md")


def png(shade: int = 0) -> bytes:
    raw = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, shade // 256 % 256, 7)).save(raw, "PNG")
    return raw.getvalue()


class Made(NamedTuple):
    """Files by name, and what each image is: (split, label), or None where it is passed over."""

    files: dict[str, bytes]
    truth: dict[str, tuple[str | None, str | None] | None]


def add(made: Made, folder: str, count: int, truth: tuple[str | None, str | None] | None) -> None:
    """Images in a folder."""
    for _ in range(count):
        name = f"{folder}/{len(made.truth)}.png".lstrip("/")
        made.files[name] = png(len(made.truth))
        made.truth[name] = truth


def wrapper(dice: random.Random) -> str:
    """Folders around the data: none, one or two."""
    names = dice.sample(
        ("dataset", "data", "archive", "my photos", "v1.2"), dice.choice((0, 0, 1, 2))
    )
    return "".join(f"{name}/" for name in names)


def cased(word: str, dice: random.Random) -> str:
    return dice.choice((str, str, str.upper, str.title, str.capitalize))(word)


def given_splits(dice: random.Random) -> Made:
    """train, and perhaps val and test, under any of their names; doubled, wrapped, nested, untidy."""
    made, around = Made({}, {}), wrapper(dice)
    affix = dice.choice(AFFIXES)
    splits = dice.choice((("train", "test"), ("train", "val"), ("train", "val", "test")))
    classes, doubled = dice.choice(CLASSES), dice.random() < 0.3
    for split in splits:
        name = affix.format(cased(dice.choice(WORDS[split]), dice))
        top = f"{around}{name}/{name}" if doubled else f"{around}{name}"
        if split == "test" and dice.random() < 0.3:
            add(made, top, 3, ("test", None))
            continue
        for label in classes:
            below = dice.choice(("", "", "/old", "/a/b"))
            add(made, f"{top}/{label}{below}", dice.randint(1, 3), (split, label))
    untidy(made, dice)
    return made


def classes_alone(dice: random.Random) -> Made:
    """Class folders without splits; one of them may be called train."""
    made, around = Made({}, {}), wrapper(dice)
    classes = [*dice.choice(CLASSES), *dice.choice(((), (), ("train",), ("Train",)))]
    for label in classes:
        inner = ("",) if label.lower() == "train" else ("", "", f"/{label} in snow")
        add(made, f"{around}{label}", 1, (None, label))
        add(made, f"{around}{label}{dice.choice(inner)}", 2, (None, label))
    untidy(made, dice)
    return made


def splits_inside(dice: random.Random) -> Made:
    """Splits in each class folder."""
    made, around = Made({}, {}), wrapper(dice)
    names = {split: cased(dice.choice(WORDS[split]), dice) for split in ("train", "test")}
    for label in dice.choice(CLASSES):
        for split, name in names.items():
            add(made, f"{around}{label}/{name}", 2, (split, label))
    untidy(made, dice)
    return made


def untidy(made: Made, dice: random.Random) -> None:
    """Add folders of systems and files that are no images, anywhere."""
    folders = sorted({name.rpartition("/")[0] for name in made.files})
    for system in dice.sample(SYSTEM, dice.randint(0, 3)):
        add(made, f"{dice.choice(('', *folders))}/{system}".lstrip("/"), 2, None)
    for name in dice.sample(SIDE_FILES, dice.randint(0, 3)):
        made.files[f"{dice.choice(folders)}/{name}"] = b"no image"


def write(files: Mapping[str, bytes], place: Path, container: str, dice: random.Random) -> Path:
    """Write files into a folder or an archive, in any order."""
    names = sorted(files)
    dice.shuffle(names)
    if container == "folder":
        for name in names:
            path = place / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        return place / "data"
    path = place / f"data.{container}"
    if container == "zip":
        with zipfile.ZipFile(
            path, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        ) as made:
            for name in names:
                made.writestr(name, files[name])
        return path
    kind = container.rpartition(".")[2]
    mode = {"tar": "w", "gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}[kind]
    before = dice.choice(("", "./"))
    dialect = dice.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(path, mode, format=dialect) as archive:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(before + name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return path
