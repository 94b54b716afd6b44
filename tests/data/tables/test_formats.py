"""Text lists, JSON lines and Parquet: the same images and labels in each."""

import io
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from support.images.tables import csv_text
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Unreadable
from tutelage.errors import InputError

pyarrow = pytest.importorskip("pyarrow")

CLASSES = ("cat", "red fox", "dog")


@pytest.mark.parametrize("seed", range(100))
def test_lists_of_path_and_label(
    tmp_path: Path, write_images: Callable, labels_of: Callable, seed: int
) -> None:
    """Spaces in paths and labels, numbers or names, a header or none, further numbers, comments."""
    draw = random.Random(seed)
    ending = draw.choice((".jpg", ".png", ".JPEG", ""))
    spaces = bool(ending) and draw.random() < 0.5
    stem = "my photos/a {:02}" if spaces else "train/{:02}_x"
    names = [stem.format(number) for number in range(30)]
    contents = write_images([f"{name}{ending or '.jpg'}" for name in names])
    by_number = draw.random() < 0.5 or not ending
    labels = [str(n % 3) if by_number else CLASSES[n % 3] for n in range(30)]
    separator = draw.choice((" ", "  ", "\t", ","))
    lines = [f"{name}{ending}{separator}{label}" for name, label in zip(names, labels, strict=True)]
    more = by_number and separator == " " and draw.random() < 0.3
    settings = {}
    if more:  # as in the lists of the Oxford pets: class, species, breed
        lines = [f"{line} 7 {n % 4}" for n, line in enumerate(lines)]
        settings = {"columns": "path=1,label=2"}
    elif draw.random() < 0.4:
        lines.insert(0, f"image{separator}label")
    elif separator == " " and spaces and draw.random() < 0.4:
        lines = [f'"{name}{ending}" {label}' for name, label in zip(names, labels, strict=True)]
    elif separator == " " and by_number and spaces and draw.random() < 0.4:
        lines = [f"{label} {name}{ending}" for name, label in zip(names, labels, strict=True)]
    if separator == " " and draw.random() < 0.3:
        lines.insert(0, "# image label")
    table = tmp_path / draw.choice(("train.txt", "list.lst", "imgs.list", "labels.txt"))
    table.write_text("\n".join(lines) + draw.choice(("", "\n")))
    expected = {one: (label, None) for one, label in zip(contents, labels, strict=True)}
    assert labels_of(table, **settings) == expected


def test_a_list_as_mxnet_writes_it(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """Number, label, path, separated by tabs."""
    names = [f"a/{number}.jpg" for number in range(30)]
    contents = write_images(names)
    table = tmp_path / "train.lst"
    table.write_text("".join(f"{i}\t{i % 4}.000000\t{name}\n" for i, name in enumerate(names)))
    assert labels_of(table) == {one: (str(i % 4), None) for i, one in enumerate(contents)}


@pytest.mark.parametrize("seed", range(30))
def test_json_lines(tmp_path: Path, write_images: Callable, labels_of: Callable, seed: int) -> None:
    """One object a line or one list; text, numbers, truth, null, keys that come and go."""
    draw = random.Random(seed)
    names = [f"imgs/{number}.jpg" for number in range(30)]
    contents = write_images(names)
    kinds: tuple[tuple[object, ...], ...] = (
        CLASSES,
        (0, 1, 2),
        (True, False),
        (1.0, 2.0),
        ("ü", "ß"),
    )
    values = draw.choice(kinds)
    objects: list[dict[str, object]] = []
    for number, name in enumerate(names):
        one: dict[str, object] = {"file_name": name, "label": values[number % len(values)]}
        if draw.random() < 0.5:
            one |= {"caption": f"a picture, {number}", "boxes": [[1, 2, 3, 4]], "score": number / 7}
        objects.append(one)
    shown = {True: "True", False: "False"} if values == (True, False) else {}
    expected = {
        one: (shown.get(label, str(label).removesuffix(".0")), None)  # type: ignore[call-overload]
        for one, label in zip(contents, (one["label"] for one in objects), strict=True)
    }
    if draw.random() < 0.2:
        objects[4]["label"] = None
        expected[contents[4]] = (None, None)
    if draw.random() < 0.3:
        table, text = tmp_path / "labels.json", json.dumps(objects, indent=draw.choice((None, 2)))
    else:
        table = tmp_path / "labels.jsonl"
        text = "".join(json.dumps(one, ensure_ascii=draw.random() < 0.5) + "\n" for one in objects)
    table.write_text(text, encoding="utf-8")
    assert labels_of(table) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"file_name": "1.jpg", "label": "a"}\n{"file_name": \n', 2),
        ('{"file_name": "1.jpg", "label": "a"}\n\n["1.jpg", "a"]\n', 3),
        ("[" * 100_000, 1),
        ("", 1),
        ('{"a": ' * 5000, 1),
    ],
)
def test_json_that_is_none_is_refused_by_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(InputError, match=f"line {line}"):
        open_source(tmp_path / "t.jsonl", DataConfig())


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 2 * number, 200)).save(file, "PNG")
    return file.getvalue()


def write_parquet(
    path: Path, columns: dict[str, list[object]], names: list[str] | None = None
) -> None:
    """Write a table as `datasets` does."""
    from pyarrow.parquet import write_table

    table = pyarrow.table(columns)
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, path, row_group_size=7)


@pytest.mark.parametrize("inner", ["path", "no path", "null path"])
@pytest.mark.parametrize("in_folder", [True, False])
def test_parquet_with_the_images_in_it(
    tmp_path: Path, labels_of: Callable, inner: str, in_folder: bool
) -> None:
    """As Hugging Face writes it: class names in the metadata, splits in the names of the files."""
    expected, number = {}, 0
    names = ["zebra", "ant", "bee"]
    for split, shards in (("train", 2), ("validation", 1), ("test", 1)):
        for shard in range(shards):
            images: list[object] = []
            labels: list[object] = []
            for _ in range(20):
                image = {"bytes": png(number), "path": f"{number}.png" if inner == "path" else None}
                images.append({"bytes": png(number)} if inner == "no path" else image)
                labels.append(-1 if split == "test" else number % 3)
                short = {"validation": "val"}.get(split, split)
                expected[png(number)] = (None if split == "test" else names[number % 3], short)
                number += 1
            file = f"{split}-{shard:05}-of-{shards:05}.parquet"
            where = tmp_path / "data" / file if in_folder else tmp_path / file
            write_parquet(where, {"image": images, "label": labels}, names)
    assert labels_of(tmp_path) == expected
    assert open_source(tmp_path, DataConfig()).classes == tuple(names)


def test_parquet_with_paths(tmp_path: Path, write_images: Callable, labels_of: Callable) -> None:
    """A table of paths is read like any other; a list with a missing number gives floats."""
    names = [f"imgs/{number}.jpg" for number in range(30)]
    contents = write_images(names)
    labels: list[object] = [float(number % 3) for number in range(30)]
    labels[5] = None
    write_parquet(
        tmp_path / "t.parquet", {"filename": [*names], "label": labels, "age": [1.5] * 30}
    )
    expected = {one: (str(i % 3), None) for i, one in enumerate(contents)} | {
        contents[5]: (None, None)
    }
    assert labels_of(tmp_path / "t.parquet") == expected


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    """Cut anywhere, or with bytes changed: a message, or images that are set aside."""
    images: list[object] = [{"bytes": png(n), "path": None} for n in range(20)]
    write_parquet(tmp_path / "a.parquet", {"image": images, "label": [n % 2 for n in range(20)]})
    whole = (tmp_path / "a.parquet").read_bytes()
    draw = random.Random(0)
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(draw.choice((1, 4))):
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        raw = raw[: draw.choice((len(raw), draw.randrange(len(raw))))]
        (tmp_path / "b.parquet").write_bytes(raw)
        with suppress(InputError, Unreadable):
            for item in open_source(tmp_path / "b.parquet", DataConfig()).items:
                item.read()


ROWS: list[list[object]] = [["path", "label"], *([f"{n}.png", "äö"[n % 2]] for n in range(30))]


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16 without a mark"),
        ("utf-16-be", "UTF-16 without a mark"),
        ("latin-1", "not UTF-8, read as Windows-1252 (Latin-1)"),
    ],
)
def test_encodings_are_found_and_said(
    tmp_path: Path, write_images: Callable, encoding: str, told: str
) -> None:
    write_images([f"{n}.png" for n in range(30)])
    (tmp_path / "t.csv").write_bytes(csv_text(ROWS).encode(encoding))
    source = open_source(tmp_path / "t.csv", DataConfig())
    assert source.classes == ("ä", "ö")
    assert source.description["reading"][0] == ", ".join(
        filter(None, ["CSV separated by commas", told])
    )


@pytest.mark.parametrize("name", ["t.xlsx", "t.xls", "t.ods"])
def test_a_spreadsheet_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match="save it as CSV"):
        open_source(tmp_path / name, DataConfig())


SHAPES: dict[str, Callable[[list[str], list[object]], object]] = {
    "path to label": lambda paths, labels: dict(zip(paths, labels, strict=True)),
    "path to object": lambda paths, labels: {
        path: {"label": label, "width": 8} for path, label in zip(paths, labels, strict=True)
    },
    "lists": lambda paths, labels: {"file": paths, "label": labels},
    "pandas": lambda paths, labels: {
        "file": {str(n): path for n, path in enumerate(paths)},
        "label": {str(n): label for n, label in enumerate(labels)},
    },
    "inside": lambda paths, labels: {
        "version": 1,
        "images": [{"file": p, "label": x} for p, x in zip(paths, labels, strict=True)],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_other_shapes(
    tmp_path: Path, write_images: Callable, labels_of: Callable, shape: str, indent: int | None
) -> None:
    """One value that holds a table: by rows, by columns, by path, on one line or many."""
    names = [f"imgs/{number}.jpg" for number in range(30)]
    contents = write_images(names)
    labels: list[object] = ["abc"[number % 3] for number in range(30)]
    (tmp_path / "t.json").write_text(json.dumps(SHAPES[shape](names, labels), indent=indent))
    assert labels_of(tmp_path / "t.json") == {
        c: (x, None) for c, x in zip(contents, labels, strict=True)
    }


@pytest.mark.parametrize("head", ["# exported 2026\n# by me\n", "sep=;\n", "sep=;\r\n"])
def test_lines_before_the_header_are_passed_over(
    tmp_path: Path, write_images: Callable, labels_of: Callable, head: str
) -> None:
    """Comments, and what Excel writes; the lines of messages are those of the file."""
    contents = write_images([f"{n}.png" for n in range(30)])
    rows = head + "image;label\n" + "".join(f"{n}.png;{n % 3}\n" for n in range(30))
    (tmp_path / "t.csv").write_text(rows, newline="")
    assert labels_of(tmp_path / "t.csv") == {c: (str(n % 3), None) for n, c in enumerate(contents)}
    (tmp_path / "t.csv").write_text(f"{rows}1;2;3\n", newline="")
    with pytest.raises(InputError, match=f"line {head.count(chr(10)) + 32}"):
        open_source(tmp_path / "t.csv", DataConfig())


def test_numbers_without_their_zeros_are_found(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """1 stands for 00001.png where there is only one of that number."""
    contents = write_images([f"imgs/{n:05}.png" for n in range(30)])
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{n},{n % 3}\n" for n in range(30)))
    assert labels_of(tmp_path / "t.csv") == {c: (str(n % 3), None) for n, c in enumerate(contents)}
    write_images([f"imgs/{n:03}.png" for n in range(30)])
    with pytest.raises(InputError, match=r"no column of the table leads to images"):
        open_source(tmp_path / "t.csv", DataConfig())


@pytest.mark.parametrize("lines", ["{path}", "{number} {path}", "{number}\t{path}"])
@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_a_list_of_paths_alone_has_its_labels_in_the_folders(
    tmp_path: Path, write_images: Callable, labels_of: Callable, lines: str, ending: str
) -> None:
    """As in Food-101 and CUB: `apple pie/1005649`, numbered or not."""
    if "{number}" in lines and not ending:
        return  # without its ending, a path of two words is none
    names = [f"images/{('apple_pie', 'ribs', 'tacos')[n % 3]}/{n * 7919}" for n in range(30)]
    contents = write_images([f"{name}.jpg" for name in names])
    text = [lines.format(path=f"{name}{ending}", number=n + 1) for n, name in enumerate(names)]
    (tmp_path / "list.txt").write_text("\n".join(text))
    expected = {one: (names[n].split("/")[1], None) for n, one in enumerate(contents)}
    assert labels_of(tmp_path / "list.txt") == expected


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";"])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_table_as_r_writes_it(
    tmp_path: Path, write_images: Callable, labels_of: Callable, separator: str, quoted: bool
) -> None:
    """`write.table`: no name above the names of the rows, and quotes around all texts."""
    names = [f"imgs/{n}.jpg" for n in range(30)]
    contents = write_images(names)
    rows = [["path", "label"], *([str(n + 1), name, "ab"[n % 2]] for n, name in enumerate(names))]
    if separator == " " and not quoted:
        return  # a list of three words a line
    lines = [separator.join(f'"{cell}"' if quoted else cell for cell in row) for row in rows]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    assert labels_of(tmp_path / "t.txt") == {c: ("ab"[n % 2], None) for n, c in enumerate(contents)}


def test_labels_that_are_numbers_of_files_are_no_paths(
    tmp_path: Path, write_images: Callable, labels_of: Callable
) -> None:
    """0 and 1 lead to 0.jpg and 1.jpg, while half of the paths are missing."""
    contents = write_images([f"imgs/{n}.jpg" for n in range(30)])
    rows = [f"{'imgs' if n > 14 else 'gone'}/{n}.jpg,{n % 2}\n" for n in range(30)]
    (tmp_path / "t.csv").write_text("".join(["image,label\n", *rows]))
    with pytest.raises(InputError, match=r"15 of 30 files of the table are missing"):
        open_source(tmp_path / "t.csv", DataConfig())
    expected = {contents[n]: (str(n % 2), None) for n in range(15, 30)}
    assert labels_of(tmp_path / "t.csv", max_unreadable=0.6) == expected
