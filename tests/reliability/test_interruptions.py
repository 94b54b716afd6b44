"""Killed, refused by the disk, told to stop: the scripts of benchmarks/reliability, a few rounds of each.

Each must end with a last line that says that all went well; the long runs are kept as results there.
"""

import pytest
from told_by import last_line


@pytest.mark.parametrize(
    ("script", "words", "least"),
    [
        ("events.py", "--saves", 40),
        ("power.py", "--work saves", 60),
        ("kills.py", "--rounds 10", 10),
        ("disk_errors.py", "--phases save --every 3", 15),
        ("disk_errors.py", "--phases report pack --errors ENOSPC EIO --every 50", 4),
        ("signals.py", "--rounds 1", 7),
    ],
)
def test_all_ended_well(script: str, words: str, least: int) -> None:
    """The script exits with 0, and its last line counts at least so many, all of them good."""
    told = last_line(script, *words.split())
    good, _, all_ = told.partition(": ")[2].partition(" of ")
    assert int(good) == int(all_.split()[0]) >= least
