"""TOML files: what is read, what is refused, and that what is written is read back."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from tutelage.config.toml import read_toml, to_toml
from tutelage.errors import UsageError


def test_toml_with_a_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark, as editors on Windows write it, is no part of the text."""
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfseeds = 3\r\n")
    assert read_toml(path) == {"seeds": 3}


@pytest.mark.parametrize(
    "content",
    [
        b"seeds: 3",
        b"seeds = 3\nseeds = 4",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"\xff\xfes\x00e\x00",
        b"a = " + b"[" * 100_000,
        b"seeds = 3\n" + b"# a line of a comment that goes on\n" * 60_000,
        b"seeds = 3\n" + b"\n" * 2_000_000,
    ],
    ids=["yaml", "twice", "picture", "utf-16", "deep", "2 MB", "2 MB of lines"],
)
def test_bad_toml(tmp_path: Path, content: bytes) -> None:
    """What is not a TOML file of a sensible size is refused by name, not read in part."""
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"TOML|too large") as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_no_toml(tmp_path: Path) -> None:
    """A missing file and a folder are refused by name."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot read") as caught:
            read_toml(path)
        assert str(path) in str(caught.value)


values = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
)
names = st.text("abcdefghij_0123456789", min_size=1, max_size=6)
tables = st.recursive(
    st.dictionaries(names, values | st.lists(values, max_size=3), max_size=4),
    lambda inner: st.dictionaries(names, values | inner, max_size=4),
    max_leaves=6,
)


@given(table=tables)
@examples(60)
def test_round_trip(table: dict[str, Any]) -> None:
    """Any table of plain values is read back as it was, control characters and all."""
    assert tomllib.loads(to_toml(table)) == table


def test_not_a_number_is_refused() -> None:
    """Not-a-number and infinity are never written."""
    with pytest.raises(ValueError, match="JSON compliant"):
        to_toml({"lr": float("nan")})
