"""Typed reading of JSON: what fits is converted, what does not is named by file and field."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import pytest

from tutelage.errors import InputError
from tutelage.storage.typed_json import read_record

FILE = Path("facts.json")


class Inner(TypedDict):
    share: float
    note: str | None


class Outer(NamedTuple):
    name: str
    count_of: int
    inner: Inner
    rows: tuple[Inner, ...]
    matrix: list[list[int]]
    terms: Mapping[str, float | None]
    title: str = "none"
    more: object = None


GOOD: dict[str, Any] = {
    "name": "a\nb",
    "count_of": 3,
    "inner": {"share": 1, "note": None, "unknown": 7},
    "rows": [{"share": 0.5, "note": "x\n"}],
    "matrix": [[1, 2], [3, 4]],
    "terms": {"k\nd": None, "hint": 2},
    "title": None,
    "more": [1],
}


def test_what_fits_is_converted() -> None:
    """Whole numbers become floats where one is declared, lists tuples, null a default; texts are cleaned."""
    found = read_record(Outer, GOOD, FILE, clean=lambda text: text.replace("\n", " "))
    assert found == Outer(
        name="a b",
        count_of=3,
        inner={"share": 1.0, "note": None},
        rows=({"share": 0.5, "note": "x "},),
        matrix=[[1, 2], [3, 4]],
        terms={"k d": None, "hint": 2.0},
        more=[1],
    )
    assert isinstance(found.inner["share"], float)


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"name": None}, "name", "a string"),
        ({"name": 3}, "name", "a string"),
        ({"count_of": True}, "count_of", "a whole number"),
        ({"count_of": 3.5}, "count_of", "a whole number"),
        ({"inner": []}, "inner", "an object"),
        ({"inner": {"note": None}}, "inner.share", "a number"),
        ({"inner": {"share": True, "note": None}}, "inner.share", "a number"),
        ({"rows": {}}, "rows", "a list"),
        ({"rows": [{"share": 0, "note": ""}, 3]}, r"rows\[1\]", "an object"),
        ({"matrix": [[1, "a"]]}, r"matrix\[0\]\[1\]", "a whole number"),
        ({"terms": [1]}, "terms", "an object"),
        ({"terms": {"kd": "x"}}, r"terms\.kd", "a number"),
    ],
)
def test_what_does_not_is_named(change: dict[str, Any], field: str, expected: str) -> None:
    """The message has the path of the field, the file, and what is expected."""
    with pytest.raises(InputError, match=rf"line 2: {field} cannot be read") as caught:
        read_record(Outer, {**GOOD, **change}, FILE, "line 2: ")
    assert caught.value.where == FILE
    assert caught.value.expected == expected
