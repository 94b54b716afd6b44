"""What a test has changed on purpose in a finished run or model folder is sealed again: a lie, not damage."""

from pathlib import Path

from tutelage.storage.checksums import checksums_of, read_sealed, write_sealed
from tutelage.storage.run_results import read_run_facts, seal_run


def reseal(run: Path) -> None:
    """Take the files of a finished run as they are now."""
    facts = read_run_facts(run)
    seal_run(run, {key: facts[key] for key in facts.keys() - {"format", "finished", "files"}})


def reseal_model(folder: Path, **changes: object) -> None:
    """Take the files of a model folder as they are now, and say something else of it."""
    facts = read_sealed(folder / "tutelage.json", kind="a model folder")
    sums = checksums_of(folder, facts["files"])
    write_sealed(folder / "tutelage.json", {**facts, **changes, "files": sums})
