"""Two thousand damaged inputs for every parser of our own; benchmarks/reliability/fuzz.py gives a million."""

from pathlib import Path

from support.benchmark_script import last_line


def test_no_input_is_more_than_a_message_or_a_result(tmp_path: Path) -> None:
    """Nothing but a TutelageError comes out, no input takes a second, and memory stays small."""
    told = last_line("fuzz.py", "--inputs", "2000", "--state", str(tmp_path / "fuzz.json"))
    assert told.startswith("fuzzing: 20,000 of 20,000 inputs")
