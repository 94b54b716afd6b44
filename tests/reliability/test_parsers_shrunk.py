"""Every parser of our own under Hypothesis: what breaks one is made as small as it can be."""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from support.examples import examples

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "reliability"
NAMES = (
    "pack",
    "teacher's cache",
    "sealed JSON",
    "recipe",
    "label table",
    "IDX",
    "zip",
    "tar",
    "checkpoint",
    "weights",
)


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The parsers of the fuzzing, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        from parsers import parsers

        yield {one.name: one for one in parsers(tmp_path_factory.mktemp("parsed"))}
        for name in ("parsers", "parsers_files", "parsers_folders", "parsing", "mutate"):
            sys.modules.pop(name, None)


def test_all_are_here(parsers: dict[str, Any]) -> None:
    assert set(parsers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@examples(
    100,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(dice=st.randoms(use_true_random=False), whole=st.binary(max_size=200), changed=st.booleans())
def test_a_message_or_a_result(
    parsers: dict[str, Any], name: str, dice: Random, whole: bytes, changed: bool
) -> None:
    """A good file that was damaged, or any bytes at all: only our own errors come out."""
    from parsing import refuses

    one = parsers[name]
    good = dice.choice(one.corpus)
    raw = one.change(good, dice) if changed else good[:1] + whole
    refuses(one.parse, raw)
