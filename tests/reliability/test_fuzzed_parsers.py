"""Two thousand damaged inputs for every parser of our own; benchmarks/reliability/fuzz.py gives a million."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_input_is_more_than_a_message_or_a_result(tmp_path: Path) -> None:
    """Nothing but a TutelageError comes out, no input takes a second, and memory stays small."""
    script = ROOT / "benchmarks" / "reliability" / "fuzz.py"
    answer = subprocess.run(
        [sys.executable, str(script), "--inputs", "2000", "--state", str(tmp_path / "fuzz.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr[-3000:]
    assert answer.stdout.splitlines()[-1].startswith("fuzzing: 18,000 of 18,000 inputs")
