"""docs/architecture.md is so: rooms, rows, the files of the ten changes, the dependencies."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from structure.test_structure import ROWS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_room_is_in_its_row() -> None:
    """The table has the rows of the structure test, numbered from below."""
    told = {(int(row), room.strip("`/")) for row, room, _ in rows("Rooms")}
    assert told == {(10 - at, room) for at, names in enumerate(ROWS) for room in names}


def test_the_ten_changes_name_folders_and_files_that_exist() -> None:
    """A newcomer finds each in the tree: the first file of each is in the folder that is named."""
    changes = rows("Where to change what")
    assert len(changes) == 10
    for change, folder, files in changes:
        (place,) = re.findall(r"`(tutelage/[\w/]+)/`", folder)
        named = re.findall(r"`(tutelage/[\w/]+\.py)`", files)
        assert named, change
        assert (ROOT / place).is_dir(), change
        assert all((ROOT / path).is_file() for path in named), change
        assert named[0].startswith(place), change


def test_every_dependency_has_its_reason() -> None:
    """The table lists what pyproject.toml asks for, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    asked = {Requirement(line).name for group in groups for line in group} - {"tutelage"}
    told = {
        name.strip()
        for names, _ in rows("Dependencies")
        for name in re.sub(r"\(.*?\)", "", names).split(",")
    }
    assert told == asked
