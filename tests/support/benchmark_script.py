"""A script of benchmarks/reliability as a process of its own, and the last line that it prints: the count."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "reliability"


def last_line(script: str, *words: str) -> str:
    """What a script that ended well printed last, on one thread."""
    answer = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert answer.returncode == 0, f"{answer.stdout[-4000:]}\n{answer.stderr[-4000:]}"
    return answer.stdout.splitlines()[-1]
