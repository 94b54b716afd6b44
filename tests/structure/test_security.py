"""SECURITY.md says what the code does: its bounds, its floors, and the tests it names."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}
BOUNDS = re.findall(r"^\| [^|]+ \| ([\d,]+) ?(KiB|MiB|GiB|) \| `([\w.]+):([\w.]+)` \|$", TEXT, re.M)
FLOORS = re.findall(r"^\| (\w+) \| ([\d.]+) \| CVE", TEXT, re.M)


@pytest.mark.parametrize(("number", "unit", "module", "name"), BOUNDS)
def test_bounds_are_those_of_the_code(number: str, unit: str, module: str, name: str) -> None:
    found = import_module(module)
    for part in name.split("."):
        found = found() if isinstance(found, type) else found  # a setting's default
        found = getattr(found, part)
    assert found == int(number.replace(",", "")) * UNITS[unit]


def test_there_are_bounds_and_floors() -> None:
    assert len(BOUNDS) > 20
    assert [name for name, _ in FLOORS] == ["torch", "pillow", "pyarrow", "onnx"]


@pytest.mark.parametrize(("package", "floor"), FLOORS)
def test_dependencies_begin_where_holes_are_mended(package: str, floor: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    wanted += project["optional-dependencies"]["parquet"]
    found = next(
        match[1] for one in wanted if (match := re.fullmatch(rf"{package}>=([\d.]+)", one))
    )
    assert version(found) >= version(floor)


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_named_files_are_there() -> None:
    named = re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)`", TEXT)
    assert named
    assert all((ROOT / name).is_file() for name in named)
