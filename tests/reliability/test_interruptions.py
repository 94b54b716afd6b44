"""Killed, refused by the disk, told to stop: the scripts of benchmarks/reliability, a few rounds of each.

Each must end with a last line that says that all went well; the long runs are kept as results there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "reliability"


@pytest.mark.parametrize(
    ("script", "words", "least"),
    [
        ("events.py", "--saves", 40),
        ("kills.py", "--rounds 10", 10),
        ("disk_errors.py", "--phases save --every 3", 20),
        ("disk_errors.py", "--phases report pack --errors ENOSPC EIO --every 50", 4),
        ("signals.py", "--rounds 1", 7),
    ],
)
def test_all_ended_well(script: str, words: str, least: int) -> None:
    """The script exits with 0, and its last line counts at least so many, all of them good."""
    answer = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *words.split()],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 0, f"{answer.stdout[-4000:]}\n{answer.stderr[-4000:]}"
    good, _, all_ = answer.stdout.splitlines()[-1].partition(": ")[2].partition(" of ")
    assert int(good) == int(all_.split()[0]) >= least
