"""Two processes that want the same, once; benchmarks/reliability/together.py gives fifty rounds."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_one_writer_and_whole_readings() -> None:
    """One run in a folder, the other told of it; one cache of two builders; a reader beside rotation."""
    script = ROOT / "benchmarks" / "reliability" / "together.py"
    answer = subprocess.run(
        [sys.executable, str(script), "--rounds", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr[-3000:]
    last = "together: two runs 1 of 1, two builders 1 of 1, reader 1 of 1 without loss"
    assert answer.stdout.splitlines()[-1] == last
