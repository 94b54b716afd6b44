"""The built wheel, in an environment that holds what the wheel asks for and nothing else."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SHORT = [
    "--student", "test_resnet", "--student.epochs", "1", "--teacher", "test_resnet",
    "--teacher.epochs", "1", "--seeds", "1", "--device", "cpu",
]  # fmt: skip


def required(wheel: Path) -> dict[str, Distribution]:
    """Everything that pip would install with the wheel, by its own words and those of what it needs."""
    with zipfile.ZipFile(wheel) as archive:
        facts = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(facts).decode().splitlines()
    waiting = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    found: dict[str, Distribution] = {}
    while waiting:
        requirement = Requirement(waiting.pop())
        marker = requirement.marker
        extras = ("", *requirement.extras)
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if requirement.name not in found:
            try:
                one = distribution(requirement.name)
            except PackageNotFoundError:
                continue  # an extra of a dependency that is not here
            found[requirement.name] = one
            waiting += one.requires or []
    return found


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel, install it into a new environment, and link there what it requires."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(place), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("*.whl")
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(
        subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip()
    )
    for one in required(wheel).values():
        for part in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not (packages / part).exists():
                (packages / part).symlink_to(Path(str(one.locate_file(part))))
    subprocess.run([*pip, "--python", python, "install", "-q", "--no-deps", wheel], check=True)
    return [str(python.parent / "tutelage")]


def test_help(command: list[str]) -> None:
    answer = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "tutelage run" in answer.stdout


def test_short_demo(command: list[str], tmp_path: Path) -> None:
    """The job of the demo's recipe with small networks ends in its report."""
    words = [*command, "run", "sample", "--recipe", "demo", "--out", str(tmp_path / "job"), *SHORT]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        words, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "job" / "report" / "report.html").is_file()
    scores = json.loads((tmp_path / "job" / "report" / "scores.json").read_text())
    assert set(scores["runs"]) == {"teacher", "student-0", "control-0"}
