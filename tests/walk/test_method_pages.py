"""Pages whose commands are not run: each command is understood, and figures are those that were measured."""

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
DOCS = ROOT / "docs"
PAGES = [
    *(DOCS / f"{name}.md" for name in ("index", "methods", "teachers", "reports", "recipes")),
    *sorted((DOCS / "methods").glob("*.md")),
]


def commands(page: Path) -> list[str]:
    found = re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.replace("\\\n", " ").splitlines()]


def test_each_method_has_a_page_and_a_recipe() -> None:
    """Neither is missing, none is of something else; the overview links to all."""
    assert {page.stem for page in (DOCS / "methods").glob("*.md")} == set(METHODS)
    assert set(method_names()) == set(METHODS) - {"offline"}
    for name in METHODS:
        assert f"(methods/{name}.md)" in (DOCS / "methods.md").read_text()
        assert f"`--method {name}`" in (DOCS / "methods" / f"{name}.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_understood(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command passes all checks of its settings: it then lacks images, weights, a teacher or a run."""
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
        catalogue = words[0] in ("methods", "recipes", "show", "cache")
        assert code == (0 if catalogue else 3), f"{command}\n{said.getvalue()}"


def test_figures_are_those_of_the_results() -> None:
    """Tables and sentences between the marks are what the script makes of the committed results."""
    done = subprocess.run(
        [sys.executable, "benchmarks/choose.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
