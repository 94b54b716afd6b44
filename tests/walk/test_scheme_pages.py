"""The pages about schemes: one for each method, commands that mean something, figures that were measured."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.config.recipes import method_names
from tutelage.methods.registry import METHODS

ROOT = Path(__file__).parents[2]
CHOOSER = ROOT / "docs" / "schemes.md"
PAGES = sorted((ROOT / "docs" / "schemes").glob("*.md"))


def commands(page: Path) -> list[str]:
    found = re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.splitlines()]


def test_each_method_has_a_page_and_a_recipe() -> None:
    """Neither is missing, none is of something else; the chooser links to all, in the table's words."""
    assert {page.stem for page in PAGES} == set(METHODS)
    assert set(method_names()) == set(METHODS) - {"offline"}
    for name, about in METHODS.items():
        row = f"| [{name}](schemes/{name}.md) | {about.family} | {about.line} |"
        assert row in CHOOSER.read_text()
        assert f"`--method {name}`" in (ROOT / "docs" / "schemes" / f"{name}.md").read_text()


@pytest.mark.parametrize("page", [CHOOSER, *PAGES], ids=lambda page: page.stem)
def test_commands_are_understood(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command passes all checks of its settings: it then lacks images, weights or a teacher."""
    from tutelage.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert commands(page)
    for command in commands(page):
        program, *words = shlex.split(command)
        assert program == "tutelage"
        if words[:2] == ["run", "sample"]:
            words[1] = "photos"
        said = io.StringIO()
        monkeypatch.setattr("sys.argv", ["tutelage", *words])
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main()
        assert code == (0 if words[0] == "methods" else 3), f"{command}\n{said.getvalue()}"


def test_figures_are_those_of_the_results() -> None:
    """Tables and sentences between the marks are what the script makes of the committed results."""
    done = subprocess.run(
        [sys.executable, "benchmarks/choose.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
