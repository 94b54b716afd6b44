"""CSV tables of images."""

from pathlib import Path

import pytest

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError

GOOD = "path,label\na/1.png,x\nb/2.png,y\n"


def table(root: Path, content: str | bytes) -> Path:
    path = root / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        'Path,Label\n"a/1.png"," x "\n\n./b\\2.png,y\n',
    ],
    ids=["plain", "BOM", "CRLF", "quotes, spaces, blank line, backslash"],
)
def test_a_table_gives_paths_and_labels(plant: Plant, content: str) -> None:
    """Paths are relative to the table; a byte-order mark, CRLF and quotes make no difference."""
    source = open_source(table(plant("a/1.png", "b/2.png"), content), DataConfig())
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("a/1.png", "x", None),
        ("b/2.png", "y", None),
    ]


def test_a_split_column_is_kept_and_test_may_be_unlabelled(plant: Plant) -> None:
    """The third column gives the split; an empty label is an unlabelled test image."""
    root = plant("1.png", "2.png", "3.png", "4.png")
    rows = "path,label,split\n1.png,x,train\n2.png,y,training\n3.png,x,valid\n4.png,,test\n"
    source = open_source(table(root, rows), DataConfig())
    assert [item.split for item in source.items] == ["train", "train", "val", "test"]
    assert source.items[3].label is None


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("name;class\n", 1, "empty"),
        ("", 1, "empty"),
        (GOOD + "a/1.png,x,y\n", 4, "3 cells instead of 2"),
        (GOOD + "a/3.png,x\n", 4, "no such file"),
        (GOOD + "a/1.png,x\n", 4, "listed before, in line 2"),
        (GOOD + "a/1.png,y\n", 4, "listed before, in line 2"),
        (GOOD + "../1.png,x\n", 4, "leaves the folder"),
        (GOOD + "/etc/passwd,x\n", 4, "leaves the folder"),
        (GOOD + "C:\\1.png,x\n", 4, "leaves the folder"),
        (GOOD + " ,x\n", 4, "an empty path"),
        (GOOD + "a/1.png,..\n", 4, "a label that cannot be a name"),
        (GOOD + "a/1.png,x/y\n", 4, "a label that cannot be a name"),
        (GOOD + "a/1.png,\n", 4, "listed before"),
        ("path,label,split\na/1.png,x,train\nb/2.png,y,\n", 3, "no split"),
        ("path,label,split\na/1.png,x,some\n", 2, "unknown split"),
        ('path,label\na/1.png,"x\n', 2, "not a line of CSV"),
        (GOOD.encode() + b"caf\xe9.png,x\n", 4, "no such file"),
        (GOOD.encode() + b"caf\x81.png,x\n", 4, "not UTF-8"),
    ],
)
def test_a_bad_line_is_named(plant: Plant, content: str | bytes, line: int, says: str) -> None:
    """Each kind of bad line stops with its number and what is wrong with it."""
    with pytest.raises(InputError) as error:
        open_source(table(plant("a/1.png", "b/2.png"), content), DataConfig())
    assert f"line {line}" in str(error.value)
    assert says in str(error.value)


def test_a_link_out_of_the_folder_of_the_table_is_set_aside(plant: Plant) -> None:
    """A listed file that is a link to elsewhere is not read."""
    root = plant("a/1.png", "b/2.png")
    (root / "out.png").symlink_to(__file__)
    source = open_source(table(root, GOOD + "out.png,x\n"), DataConfig())
    assert source.refused == [("out.png", "a link out of the folder")]
