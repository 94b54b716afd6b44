"""The architecture holds: import direction, file length, names, tables, settings without torch."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import get_args

import pytest

import tutelage
from tutelage.config.methods import MethodName
from tutelage.config.roles import Role

ROOT = Path(tutelage.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# A room (folder or module of the first level) imports only from rows below its own, or from itself.
ROWS = [
    {"__main__"},
    {"cli", "__init__"},
    {"commands"},
    {"engine"},
    {"methods", "teachers", "evaluation", "reports", "exporters"},
    {"losses", "models", "data"},
    {"config"},
    {"storage", "distributed"},
    {"errors"},
    {"text", "types"},
]
ROW = {name: number for number, row in enumerate(ROWS) for name in row}


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


def edges() -> dict[str, set[str]]:
    """The rooms that each room imports from, without itself."""
    found: dict[str, set[str]] = {name: set() for name in ROW}
    for path in FILES:
        parts = [name.split(".")[1:] for name in imports(path)]
        found[unit(path)] |= {part[0] for part in parts if part} - {unit(path)}
    return found


def test_ten_rows_hold_every_room() -> None:
    """Every folder and module of the first level stands in one of ten rows, and nothing else does."""
    assert len(ROWS) == 10
    assert {unit(path) for path in FILES} == set(ROW)


def test_imports_only_from_rows_below() -> None:
    """No room imports from a room of its own row or of one above."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        for name in imports(path)
        if (parts := name.split(".")[1:])
        and parts[0] != unit(path)
        and ROW[parts[0]] <= ROW[unit(path)]
    ]
    assert not wrong


def test_no_circles() -> None:
    """No module needs itself through others; imports for type checking alone and inside functions count."""
    modules = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in FILES
    }
    names = {name.removesuffix(".__init__") for name in modules}
    needs = {
        name.removesuffix(".__init__"): set(imports(path)) & names for name, path in modules.items()
    }
    TopologicalSorter(needs).prepare()


def test_few_levels_and_loose_modules() -> None:
    """At most 12 levels of rooms, and at most 5 loose modules beside the package's own two."""
    needs = edges()

    def level(room: str) -> int:
        return 1 + max((level(other) for other in needs[room]), default=0)

    assert max(map(level, needs)) <= 12
    loose = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert len(loose) <= 5


def test_no_file_is_long() -> None:
    """A file holds one idea: at most 300 lines."""
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 300]


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
    from tutelage.config.objective import LossConfig, settings_classes
    from tutelage.losses.registry import term_path

    assert set(settings_classes()) == set(LossConfig.__dataclass_fields__)
    tests = Path(__file__).parents[1] / "losses"
    for name in settings_classes():
        module = term_path(name)[0].rpartition(".")[2]
        assert (tests / f"test_{module}.py").is_file()


def test_settings_command_line_and_reports_need_no_torch() -> None:
    """Help, mistakes and reports answer without waiting for torch."""
    modules = ["tutelage", "tutelage.cli", "tutelage.config.job", "tutelage.config.recipes"]
    modules += ["tutelage.reports.write", "tutelage.data.pack.pack", "tutelage.data.inspect"]
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


def test_a_class_name_stands_for_one_thing() -> None:
    """No public class of the package has the name of another."""
    found: dict[str, list[Path]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(path.relative_to(ROOT))
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_comparison_with_a_method_or_role() -> None:
    """What differs by method or role is in methods/ and config/: nobody else compares their names."""
    names = {*get_args(MethodName), *get_args(Role)}
    found = []
    for path in FILES:
        if unit(path) in ("methods", "config"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                strings = {x.value for x in constants(sides)} & names
                called = {getattr(x, "attr", getattr(x, "id", "")) for x in sides}
                if strings and called & {"method", "role"}:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} compares with {strings}")
    assert not found


def constants(nodes: list[ast.expr]) -> list[ast.Constant]:
    """Every constant in these expressions, those in tuples and sets, too."""
    return [part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Constant)]
