"""The tests mirror the package, and their tiers are true."""

import ast
from pathlib import Path

import tutelage
from support.tiers import PLACES, TESTS, read_list

ROOMS = {path.name for path in Path(tutelage.__file__).parent.iterdir() if path.is_dir()}
FILES = sorted(TESTS.rglob("*.py"))


def test_every_test_is_in_a_room() -> None:
    """A test is in the folder of a room of the package, or in one of whole runs; nothing else is there."""
    folders = {*ROOMS, *PLACES, "structure", "support"}
    for path in FILES:
        parts = path.relative_to(TESTS).parts
        assert path.name == "conftest.py" or parts[0] in folders, path
        if parts[0] != "support":
            assert path.name == "conftest.py" or path.name.startswith("test_"), path


def test_slow_tests_exist() -> None:
    """Every test and fixture of slow_tests.txt is there; a class may have a test from its tester."""
    there: set[str] = set()
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        there |= {f"{path.relative_to(TESTS).as_posix()}::{name}" for name in functions | classes}
        there |= {f"fixture {name}" for name in functions}
        if "support" in path.parts:
            there |= functions
    for name in read_list():
        outer, _, last = name.rpartition("::")
        assert name in there or (outer in there and last in there), name
