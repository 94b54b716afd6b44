"""Measure what tests cost, and write the list of slow ones.

    PYTHONPATH=tests pytest -p support.measure -n 2 --dist loadfile
    PYTHONPATH=tests python -m support.measure

The first command runs everything and appends the seconds of each test and of each shared fixture to
test-seconds.tsv; the second makes tests/slow_tests.txt of it. Seconds are those of the processor, of child
processes, too: what else the machine does hardly matters.
"""

import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from support.tiers import LIST, TESTS, name_of

SECONDS = Path("test-seconds.tsv")
FULL, MEDIUM = 12.0, 1.0
"""A test function (all its cases together) or a shared fixture that takes longer is in that tier."""

_shared = [0.0]
"""Seconds of shared fixtures, which are not the test's that happens to come first."""


def now() -> float:
    """Return the processor's seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def note(name: str, seconds: float) -> None:
    """Append a line; several processes do."""
    with SECONDS.open("a", encoding="utf-8") as file:
        file.write(f"{seconds:.3f}\t{name}\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note the time of a test, without that of fixtures which it shares."""
    before = now() + _shared[0]
    result = yield
    if item.path.is_relative_to(TESTS):
        note(name_of(item), now() + _shared[0] - before)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any],
) -> Generator[None, Any, Any]:
    """Note the time of a fixture that several tests share."""
    before = now()
    result = yield
    if fixturedef.scope != "function":
        seconds = now() - before
        note(f"fixture {fixturedef.argname}", seconds)
        _shared[0] -= seconds
    return result


def write_list() -> None:
    """Sum the seconds of each test function, and write what is beyond the limits."""
    sums: defaultdict[str, float] = defaultdict(float)
    for line in SECONDS.read_text(encoding="utf-8").splitlines():
        seconds, name = line.split("\t")
        sums[name] += float(seconds)
    slow = {name: s for name, s in sums.items() if s > MEDIUM}
    lines = [
        "# Tests and fixtures that took long: tier, seconds. Written by tests/support/measure.py."
    ]
    lines += [
        f"{'full' if s > FULL else 'medium'} {s:.0f} {name}" for name, s in sorted(slow.items())
    ]
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_list()
