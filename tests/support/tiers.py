"""In which tier a test runs: by where it is, what it uses, and how long it was measured to take.

`fast` is what a contributor waits for (`make test-fast`), `medium` is added before a merge (`make test`),
and `full` runs in CI (`make test-all`). A test that has one of these markers already keeps it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]
LIST = TESTS / "slow_tests.txt"
TIERS = ("fast", "medium", "full")

PLACES = ("benchmarks", "compatibility", "reliability", "walk")
"""Folders of whole runs and of inputs by the hundred."""

PROGRAMS = ("import subprocess", "support.two_processes", "support.benchmark_script")
"""What a test file that starts programs contains."""


class Slow(NamedTuple):
    """A test or fixture that takes long."""

    tier: str
    seconds: int


Measured = Mapping[str, Slow]
"""By `FILE::FUNCTION` and by `fixture NAME`."""


def read_list() -> Measured:
    """Read what `support.measure` wrote: lines of a tier, seconds and a name."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    rows = (line.split(maxsplit=2) for line in lines if not line.startswith("#"))
    return {name: Slow(tier, int(seconds)) for tier, seconds, name in rows}


def longest_first(items: list[pytest.Item]) -> None:
    """Order tests by how long their files take, so that two workers end together."""
    seconds: Counter[Path] = Counter()
    for name, slow in read_list().items():
        seconds[TESTS / name.partition("::")[0]] += slow.seconds
    items.sort(key=lambda item: -seconds[item.path])


def name_of(item: pytest.Item) -> str:
    """Return `FILE::FUNCTION` (or `FILE::CLASS::FUNCTION`) of a test, one name for all its cases."""
    function = item.nodeid.partition("[")[0].partition("::")[2]
    return f"{item.path.relative_to(TESTS).as_posix()}::{function}"


def set_tiers(items: Iterable[pytest.Item]) -> None:
    """Give every test one of the three markers."""
    measured = read_list()
    texts: dict[Path, str] = {}
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            text = texts.setdefault(item.path, item.path.read_text(encoding="utf-8"))
            item.add_marker(_tier(item, text, measured))


def _tier(item: pytest.Item, text: str, measured: Measured) -> str:
    if not item.path.is_relative_to(TESTS):
        return "fast"  # an example in a docstring
    place = item.path.relative_to(TESTS).parts[0]
    slow = place in PLACES or any(word in text for word in PROGRAMS)
    names = {name_of(item), *(f"fixture {name}" for name in getattr(item, "fixturenames", ()))}
    found = [measured[name].tier for name in names & measured.keys()]
    return max([*found, "medium" if slow else "fast"], key=TIERS.index)
