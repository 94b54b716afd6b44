"""The architecture holds: import direction, file length, names, tables, settings without torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tutelage

ROOT = Path(tutelage.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# A folder or file imports only from rows above its own, or from itself.
ROWS = [
    {"harmless"},
    {"errors"},
    {"inside", "disk"},
    {"bounded"},
    {"config", "nouns", "files", "lock", "toml", "installation", "world"},
    {"sealed"},
    {"results"},
    {"data", "models", "losses"},
    {"teachers", "methods", "evaluation", "timing"},
    {"settings", "engine"},
    {"cookbook", "folder", "deploy", "reports"},
    {"measuring"},
    {"companions", "council", "specialist"},
    {"finish", "keeping", "validating", "asking", "preparing", "run_folder"},
    {"panel"},
    {"learner"},
    {"single"},
    {"plans"},
    {"working"},
    {"verbs", "use", "verifying"},
    {"sweeping"},
    {"arguments", "__init__"},
    {"cli"},
    {"__main__"},
]
ROW = {name: number for number, row in enumerate(ROWS) for name in row}
# Settings import no torch and are read by everyone, whatever row their owner stands in.
SETTINGS = {"settings", "view_settings", "weight_settings"}


def unit(path: Path) -> str:
    """The folder or module of the first level that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Every tutelage module a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "tutelage":
                names = [f"tutelage.{alias.name}" for alias in node.names]
            found += names
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "tutelage"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_from_rows_above(path: Path) -> None:
    """No module imports from its own row's neighbours or from below."""
    own = unit(path)
    for name in imports(path):
        parts = name.split(".")[1:]
        if not parts or parts[0] == own or parts[-1] in SETTINGS:
            continue
        assert parts[0] in ROW, f"{path.name} imports {name}, which stands in no row"
        assert ROW[parts[0]] < ROW[own], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path: Path) -> None:
    """A file holds one idea: at most 300 lines."""
    assert len(path.read_text().splitlines()) <= 300


def test_no_junk_drawers() -> None:
    """A module that has no better name than these is missing its noun."""
    junk = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
    assert not [path for path in FILES if path.stem in junk or path.parent.name in junk]


def test_public_names_are_those_listed() -> None:
    """Every name in `__all__` exists, and nothing else is offered."""
    assert sorted(tutelage.__all__) == sorted(tutelage._HOME)
    for name in tutelage.__all__:
        assert getattr(tutelage, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        tutelage.no_such_name  # noqa: B018


def test_every_term_has_settings_and_a_test() -> None:
    """A term of the table can be set in a recipe and has a test file of its own."""
    from tutelage.losses.settings import Terms
    from tutelage.losses.table import TERMS

    assert set(TERMS) == set(Terms.__dataclass_fields__)
    tests = Path(__file__).parents[1] / "losses"
    for name in TERMS:
        assert (tests / f"test_{name.replace('-', '_')}.py").is_file()


def test_settings_command_line_and_reports_need_no_torch() -> None:
    """Help, mistakes and reports answer without waiting for torch."""
    modules = ["tutelage", "tutelage.cli", "tutelage.settings", "tutelage.cookbook"]
    modules += ["tutelage.reports.report", "tutelage.data.pack", "tutelage.data.check"]
    program = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_library_imports_without_the_command_lines_packages() -> None:
    """Python use works where cyclopts is not installed."""
    program = (
        "import sys; sys.modules['cyclopts'] = None\n"
        "import tutelage; [getattr(tutelage, name) for name in tutelage.__all__]"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_module_imports() -> None:
    """No module fails on import."""
    for path in FILES:
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if not name.endswith(("__main__", "__init__")):
            importlib.import_module(name)


def test_no_public_name_is_also_a_module() -> None:
    """`tutelage.run` stays the function, whatever has been imported before."""
    modules = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(tutelage.__all__)
