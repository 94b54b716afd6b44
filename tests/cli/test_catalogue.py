"""`tutelage losses`: every term is listed, and each page holds its formula, shapes, source and settings."""

import dataclasses
import re

import pytest

from tutelage.cli import call
from tutelage.config.objective import settings_classes
from tutelage.errors import UsageError


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call(["losses", *arguments])
    return capsys.readouterr().out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a term, below its kind."""
    text = said(capsys)
    listed = re.findall(r"^  ([a-z-]+) +\S.*$", text, flags=re.MULTILINE)
    assert [name.replace("-", "_") for name in listed] == list(settings_classes())
    kinds = {}
    for line in text.splitlines():
        if found := re.match(r"(response|feature|relation): ", line):
            kind = found.group(1)
        elif line.startswith("  "):
            kinds[line.split()[0].replace("-", "_")] = kind
    places = {n: c.__module__.rpartition(".")[2] for n, c in settings_classes().items()}
    own = {name: place for name, place in places.items() if name != "label"}
    assert {name: kinds[name] for name in own} == own


@pytest.mark.parametrize("name", [name for name in settings_classes() if name != "label"])
def test_one(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Formula, shapes, what is returned and raised, paper and year, every setting, and a recipe."""
    shown = name.replace("_", "-")
    text = said(capsys, shown)
    assert text.startswith(f"{shown}: ")
    assert text == said(capsys, name)
    formulas = re.findall(r"^\w+_loss\(.*$", text, flags=re.MULTILINE)
    assert formulas
    assert re.search(r"^    .* = ", text, flags=re.MULTILINE)  # an equation
    assert re.search(r"\[B, ", text)
    assert re.search(r"\b(19|20)\d\d\b", text)  # the year of the paper
    for part in ("Args:", "Returns:", "Raises:"):
        assert part in text
    for field in dataclasses.fields(settings_classes()[name]):
        assert f"--losses.{shown}.{field.name.replace('_', '-')} " in text
    assert not text.rstrip().endswith("Recipes: none")


def test_unknown() -> None:
    """A misspelt name is answered with the nearest."""
    with pytest.raises(UsageError, match="no such loss: fps") as caught:
        call(["losses", "fps"])
    assert "fsp" in str(caught.value)
