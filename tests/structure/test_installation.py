"""A broken installation is named, not shown as a riddle."""

import os
import subprocess
import sys
from pathlib import Path


def test_torch_and_torchvision_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """The usual mistake, a torchvision built for another torch, ends in a message and exit code 5."""
    (tmp_path / "torchvision").mkdir()
    broken = 'raise RuntimeError("operator torchvision::nms does not exist")\n'
    (tmp_path / "torchvision" / "__init__.py").write_text(broken)
    answer = subprocess.run(
        [sys.executable, "-m", "tutelage", "run", "sample", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert answer.returncode == 5
    assert "torch and torchvision do not fit together" in answer.stderr
    assert "pip install" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_missing_command_line_package_is_named(tmp_path: Path) -> None:
    """Without cyclopts the library works and the command says what to install."""
    (tmp_path / "cyclopts").mkdir()
    (tmp_path / "cyclopts" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'cyclopts'\", name='cyclopts')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-m", "tutelage", "recipes"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert answer.returncode == 5
    assert "pip install cyclopts" in answer.stderr
