"""CONTRIBUTING.md is so: one addition of each kind, touching exactly the files that it lists, works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.additions import ADDITIONS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STANDS_FOR = {
    "NAME": "[a-z_]+",
    "KIND": "(?:response|feature|relation)",
    "FAMILY": "(?:online|self)",
}


def listed(heading: str) -> list[str]:
    """The files of the package in the section of a kind of addition."""
    section = GUIDE.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    return re.findall(r"`tutelage/([\w/.]+)`", section)


def test_every_kind_is_described() -> None:
    """A section for each kind, and nothing else."""
    assert re.findall(r"^### (.+)$", GUIDE, re.M) == list(ADDITIONS)


@pytest.mark.parametrize("kind", ADDITIONS)
def test_the_list_of_files_is_complete(kind: str) -> None:
    """An addition touches the files that are listed, and no others."""
    touched = {*ADDITIONS[kind].files, *ADDITIONS[kind].inserts}
    for path in sorted(listed(kind), key=lambda path: any(word in path for word in STANDS_FOR)):
        pattern = re.sub("|".join(STANDS_FOR), lambda m: STANDS_FOR[m[0]], re.escape(path))
        (found,) = [one for one in touched if re.fullmatch(pattern, one)]
        touched.remove(found)
    assert not touched, "not listed"


@pytest.fixture(scope="module")
def place(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and a copy of the package to which one of each kind was added."""
    place = tmp_path_factory.mktemp("contributor")
    package = place / "source" / "tutelage"
    shutil.copytree(ROOT / "tutelage", package, ignore=shutil.ignore_patterns("__pycache__"))
    for addition in ADDITIONS.values():
        addition.apply(package)
    (place / "photos.shortcut").write_text(str(images))
    (place / "teacher.note").write_text(str(place / "runs" / "teacher"))
    return place


def test_additions_work(place: Path) -> None:
    """Reader, command, schedule, tracker, teacher source, loss, method and exporter in one walk."""

    def tutelage(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tutelage", *words],
            cwd=place, capture_output=True, text=True, check=False, timeout=280,
            env={**os.environ, "PYTHONPATH": str(place / "source")},
        )  # fmt: skip
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        return done.stdout

    small = ("photos.shortcut", "--image-size", "32", "--model", "test_resnet", "--weights", "none")
    small += ("--epochs", "1", "--batch-size", "40")
    assert tutelage("count", "photos.shortcut").strip() == "631 images"
    assert "mean |s - t|" in tutelage("losses", "plain")
    assert "Nobody 2026" in tutelage("methods", "doubled")

    tutelage("train", *small, "--role", "teacher", "--schedule", "square", "--out", "runs/teacher")
    told = ("--teacher", "teacher.note", "--skip-teacher-check", "--track", "plaintext")
    tutelage("distill", *small, *told, "--loss", "plain", "--out", "runs/student")
    journal = (place / "runs" / "student" / "journal.jsonl").read_text()
    assert '"plain"' in journal
    (lines,) = (place / "runs" / "student").rglob("*.txt")
    assert lines.read_text().startswith("1 0.")

    tutelage("distill", *small, "--recipe", "doubled", "--out", "runs/alone")
    exported = tutelage("export", "runs/student", "--format", "traced", "--data", "photos.shortcut")
    assert "same classes" in exported
