"""Two processes that want the same, once; benchmarks/reliability/together.py gives fifty rounds."""

from support.benchmark_script import last_line


def test_one_writer_and_whole_readings() -> None:
    """One run in a folder, the other told of it; one cache of two builders; a reader beside rotation."""
    whole = "together: two runs 1 of 1, two builders 1 of 1, reader 1 of 1 without loss"
    assert last_line("together.py", "--rounds", "1") == whole
