"""Random tables of images as people bring them, written so that the right reading is known."""

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

Answer = dict[bytes, tuple[str | None, str | None]]
"""From the content of an image to its label and split."""

PATH_NAMES = (
    *(
        "path",
        "image",
        "image_id",
        "filename",
        "file",
        "id",
        "img",
        "fname",
        "Image Index",
        "file_name",
    ),
    *("filepath", "image_name", "img_path", "ImageID", "name", "id_code", "photo", "Image File"),
)
LABEL_NAMES = (
    *("label", "class", "target", "diagnosis", "species", "category", "y", "dx", "Label", "breed"),
    *(
        "class_name",
        "labels",
        "cell_type",
        "Finding Labels",
        "dog_breed",
        "class_id",
        "TARGET",
        "emotion",
    ),
)
PLAIN_NAMES = ("colour", "what", "has_cactus", "Id2", "answer", "quality", "value")
SPLIT_NAMES = ("split", "set", "subset", "partition", "Usage", "dataset")
SPLIT_WORDS = {
    "train": ("train", "Training", "TRAIN", "trn"),
    "val": ("val", "valid", "Validation", "dev", "PublicTest"),
    "test": ("test", "Testing", "TEST", "PrivateTest"),
}
CLASSES = (
    ("cat", "dog", "bird"),
    ("golden retriever", "labrador retriever", "poodle"),
    ("Ankle boot", "Bag", "T-shirt", "Coat"),
    ("0", "1"),
    tuple(map(str, range(12))),
    ("True", "False"),
    ("café", "naïve", "Übung"),
    ("no", "yes"),
    ("nv", "mel", "bkl", "bcc"),
    ("a, b", "c, d and e"),
)
FORMS = (
    *("as written", "below", "without ending", "backslashes", "absolute", "dot"),
    *("parts", "another machine", "another Windows", "images elsewhere", "other case"),
)


@dataclass
class Case:
    """A table on disk with its answer."""

    table: Path
    answer: Answer
    about: str
    settings: dict[str, str] = field(default_factory=dict)
    missing: int = 0


def write_case(root: Path, seed: int) -> Case:
    """Write one random table with its images below a new folder."""
    draw = random.Random(seed)
    classes = draw.choice(CLASSES)
    count = draw.choice((40, 44, 60))
    labels = [classes[number % len(classes)] for number in range(count)]
    draw.shuffle(labels)
    form, ending = draw.choice(FORMS), draw.choice(("jpg", "png", "JPG", "jpeg"))
    folder = root / f"set {seed}" if draw.random() < 0.3 else root / f"set{seed}"
    settings: dict[str, str] = {}
    cells, contents = _images(folder, form, ending, count, draw, settings)
    splits = _splits(labels, draw)
    answer: Answer = {}
    for content, label, split in zip(contents, labels, splits, strict=True):
        answer[content] = (label, split)
    unlabelled = not any(splits) and draw.random() < 0.2
    if unlabelled:
        labels[3] = ""
        answer[contents[3]] = (None, None)
    missing = int(draw.random() < 0.3)
    if missing:
        next(path for path in folder.rglob("*") if _content(path) == contents[7]).unlink()
        del answer[contents[7]]
    columns = {"path": cells, "label": labels}
    header = draw.random() < 0.85
    plain = classes[0] not in "01" and header and not unlabelled and draw.random() < 0.15
    names = {"path": draw.choice(PATH_NAMES), "label": draw.choice(LABEL_NAMES)}
    if plain:
        names = {"path": draw.choice(PLAIN_NAMES[:2]), "label": draw.choice(PLAIN_NAMES[2:])}
    if any(splits):
        columns["split"], names["split"] = _split_cells(splits, draw)
    if not any(splits) or header:
        _extra(columns, names, draw, count, repeated=header and not plain)
    order = [*columns]
    draw.shuffle(order)
    if not header and "index" in order:
        order.remove("index")
        order.insert(0, "index")
    rows = [[columns[key][row] for key in order] for row in range(count)]
    lines = [[names[key] for key in order], *rows] if header else rows
    separator, encoding = (
        draw.choice(",;\t|"),
        draw.choice(("utf-8", "utf-8-sig", "utf-16", "cp1252")),
    )
    table = folder / draw.choice(
        ("labels.csv", "train_labels.csv", "meta data.csv", "list.txt", "t.tsv")
    )
    table.write_bytes(
        csv_text(
            lines,
            delimiter=separator,
            quoting=draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
            lineterminator=draw.choice(("\n", "\r\n")),
        ).encode(encoding)
    )
    about = f"{form}, {separator!r}, {encoding}, header {header}, {[names[key] for key in order]}"
    return Case(table, answer, about, settings, missing)


def csv_text(rows: Sequence[Sequence[object]], **form: object) -> str:
    """Write rows with Python's csv module."""
    text = io.StringIO(newline="")
    csv.writer(text, **form).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _images(
    folder: Path, form: str, ending: str, count: int, draw: random.Random, settings: dict[str, str]
) -> tuple[list[str], list[bytes]]:
    """Write the images; return how the table names each, and its content."""
    stem = draw.choice(("IMG_{:04}", "{}", "{:05}", "ISIC_{:07}", "photo {} x", "a.b-{:03}"))
    below = (
        draw.choice(("images", "HAM_images", "train", "data/img", "jpg"))
        if form != "as written"
        else ""
    )
    if form == "images elsewhere":
        settings["images"] = str(folder / "else where")
        below = "else where/deep"
    cells, contents = [], []
    for number in range(count):
        name = stem.format(number)
        inner = f"{below}_part_{1 + number % 2}" if form == "parts" else below
        if form in ("as written", "dot") and draw.random() < 0.5:
            inner = f"sub {number % 3}"
        path = folder / inner / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = f"{folder.name} {number}".encode()
        path.write_bytes(content)
        inside = path.relative_to(folder).as_posix()
        cells.append(
            {
                "as written": inside,
                "below": f"{name}.{ending}",
                "without ending": name,
                "backslashes": inside.replace("/", "\\"),
                "absolute": str(path),
                "dot": f"./{inside}",
                "parts": name,
                "another machine": f"/home/bob/sets/{folder.name}/{inside}",
                "another Windows": f"C:\\Users\\bob\\{folder.name}\\{inside}".replace("/", "\\"),
                "images elsewhere": f"deep/{name}.{ending}",
                "other case": f"{name}.{ending.swapcase()}",
            }[form]
        )
        contents.append(content)
    return cells, contents


def _splits(labels: Sequence[str], draw: random.Random) -> list[str | None]:
    """Give each image a split, every class at least two of train; or none."""
    if draw.random() < 0.5:
        return [None] * len(labels)
    seen: list[str] = []
    splits: list[str | None] = []
    for label in labels:
        splits.append(
            "train" if seen.count(label) < 2 else draw.choice(("train", "train", "val", "test"))
        )
        seen.append(label)
    return splits


def _split_cells(splits: Sequence[str | None], draw: random.Random) -> tuple[list[str], str]:
    if "test" not in splits and draw.random() < 0.7:
        return [str(split == "val") for split in splits], "is_valid"
    words = {split: draw.choice(choices) for split, choices in SPLIT_WORDS.items()}
    return [words[str(split)] for split in splits], draw.choice(SPLIT_NAMES)


def _extra(
    columns: dict[str, list[str]],
    names: dict[str, str],
    draw: random.Random,
    count: int,
    *,
    repeated: bool,
) -> None:
    """Add columns that are none of the three."""
    kinds = {
        "index": ("", [str(number) for number in range(count)]),
        "score": ("score", [f"{draw.random():.4f}" for _ in range(count)]),
        "note": ("note", [f'no. {number}, "seen"; a|b' for number in range(count)]),
        "patient": ("patient_id", [f"P{number}" for number in range(count)]),
    }
    if repeated:  # beside a label that is known by its name
        kinds["sex"] = ("sex", [draw.choice(("m", "f")) for _ in range(count)])
        kinds["site"] = ("anatom_site", [draw.choice(("back", "face", "")) for _ in range(count)])
    for kind in draw.sample([*kinds], draw.randint(0, min(3, len(kinds)))):
        names[kind], columns[kind] = kinds[kind]
