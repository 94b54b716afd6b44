"""A small folder of real images, and the command line as a user has it."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.data.readers.zip import SAMPLE

Answer = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ with ten classes, and a flat, unlabelled test/: 40 + 20 a class, 30 images."""
    root = tmp_path_factory.mktemp("user") / "my images ü"
    wanted = {"train": 40, "val": 20, "test": 30}
    taken: dict[str, int] = {}
    with zipfile.ZipFile(SAMPLE) as archive:
        for name in sorted(archive.namelist()):
            folder, _, _ = name.rpartition("/")
            if taken.get(folder, 0) < wanted[name.split("/")[0]] and name.endswith(".png"):
                taken[folder] = taken.get(folder, 0) + 1
                (root / folder).mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(archive.read(name))
    (root / "train" / "Bag" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    return root


@pytest.fixture(scope="session")
def tutelage_command() -> Callable[..., Answer]:
    """Run `python -m tutelage ...` in a process of its own."""

    def command(*arguments: object, cwd: Path | None = None, seconds: float = 240) -> Answer:
        words = [sys.executable, "-W", "error::UserWarning:tutelage", "-m", "tutelage"]
        return subprocess.run(
            [*words, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=seconds,
            check=False,
        )

    return command
