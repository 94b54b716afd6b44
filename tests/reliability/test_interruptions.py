"""Killed, refused by the disk, told to stop: the scripts of benchmarks/reliability, a few rounds of each.

Each must end with a last line that says that all went well; the long runs are kept as results there.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from support.benchmark_script import last_line

Told = dict[str, Future[str]]


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    """What each command that is asked for says in the end, two of them at a time: each has one thread."""
    here = [item for item in request.session.items if item.path == request.path]
    commands = [
        item.callspec.params["command"] for item in here if isinstance(item, pytest.Function)
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {command: pool.submit(last_line, *command.split()) for command in commands}


@pytest.mark.parametrize(
    ("command", "least"),
    [
        ("kills.py --rounds 10", 10),
        ("signals.py --rounds 1", 7),
        ("disk_errors.py --phases report pack --errors ENOSPC EIO --every 50", 4),
        ("disk_errors.py --phases save --every 3", 15),
        ("events.py --saves", 40),
        ("power.py --work saves", 60),
    ],
)
def test_all_ended_well(command: str, least: int, told: Told) -> None:
    """The script exits with 0, and its last line counts at least so many, all of them good."""
    good, _, all_ = told[command].result().partition(": ")[2].partition(" of ")
    assert int(good) == int(all_.split()[0]) >= least
