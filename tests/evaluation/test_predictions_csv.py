"""Predictions as a table: shares, order, ties, and cells that are safe in a spreadsheet."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tutelage.evaluation.predictions_csv import write_predictions
from tutelage.text import escape_csv


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_shares(tmp_path: Path) -> None:
    """Each row names the classes by falling probability, with the softmax's shares."""
    logits = np.log([[0.1, 0.6, 0.3], [0.7, 0.1, 0.2]]).astype(np.float32) + 40
    path = tmp_path / "p.csv"
    write_predictions(path, ["a.png", "b.png"], logits, ["x", "y", "z"])
    assert rows(path) == [
        ["file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"],
        ["a.png", "y", "0.600000", "z", "0.300000", "x", "0.100000"],
        ["b.png", "x", "0.700000", "z", "0.200000", "y", "0.100000"],
    ]


@pytest.mark.parametrize(("top", "columns"), [(1, 3), (2, 5), (3, 7), (9, 7)])
def test_top(tmp_path: Path, top: int, columns: int) -> None:
    """As many classes are named as asked for, at most all."""
    path = tmp_path / "p.csv"
    write_predictions(path, ["a"], np.zeros((1, 3), np.float32), ["x", "y", "z"], top=top)
    header, row = rows(path)
    assert len(header) == len(row) == columns


def test_ties_and_extremes(tmp_path: Path) -> None:
    """Of equal shares the first class comes first; huge logits make neither NaN nor a warning."""
    path = tmp_path / "p.csv"
    logits = np.array([[0, 0, 0], [3e38, -3e38, 0]], np.float32)
    write_predictions(path, ["a", "b"], logits, ["x", "y", "z"])
    _, tie, huge = rows(path)
    assert tie[1::2] == ["x", "y", "z"]
    assert huge[1:3] == ["x", "1.000000"]


def test_nothing(tmp_path: Path) -> None:
    """No images make a table of a header alone."""
    path = tmp_path / "p.csv"
    write_predictions(path, [], np.empty((0, 2), np.float32), ["x", "y"])
    assert rows(path) == [["file", "class", "probability", "class_2", "probability_2"]]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\0"])
def test_formulas(tmp_path: Path, start: str) -> None:
    """Neither a file's nor a class's name is taken for a formula; other names are left as they are."""
    assert escape_csv(f"{start}1+1") == f"'{start}1+1"
    assert escape_csv(f"a{start}1") == f"a{start}1"
    assert escape_csv("") == ""
    if start in "=+-@":
        write_predictions(
            tmp_path / "p.csv", [f"{start}a.png"], np.zeros((1, 2), np.float32), [f"{start}x", "y"]
        )
        row = rows(tmp_path / "p.csv")[1]
        assert row[:2] == [f"'{start}a.png", f"'{start}x"]


def test_any_name(tmp_path: Path) -> None:
    """Commas, quotes and any script stay in their cell; what cannot be seen is written as an escape."""
    names = ['a,"b".png', "line\nbreak.png", "日本/Zürich.png", "\udcff.png"]
    path = tmp_path / "p.csv"
    write_predictions(path, names, np.zeros((4, 2), np.float32), ["x,y", '"'])
    found = rows(path)[1:]
    assert [row[0] for row in found] == [names[0], "line\\x0abreak.png", names[2], "\\xff.png"]
    assert all(row[1] == "x,y" for row in found)
