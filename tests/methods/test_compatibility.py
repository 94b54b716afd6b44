"""The table of terms and methods: its page is the one that is generated, and the command prints it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.cli import call
from tutelage.config.objective import settings_classes
from tutelage.errors import UsageError
from tutelage.methods.compatibility import caveat, compatibility_table, terms_by_kind
from tutelage.methods.registry import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call(["methods", *arguments])
    return capsys.readouterr().out


def test_the_page_is_generated(capsys: pytest.CaptureFixture[str]) -> None:
    """Below its title and how to read it stands what `tutelage methods --losses` prints, and nothing else."""
    head, bar, rest = PAGE.read_text().partition("\n| kind")
    assert head.startswith("# ")
    assert "`tutelage methods --losses`" in head
    assert (bar + rest).lstrip("\n") == said(capsys, "--losses")


def test_every_cell() -> None:
    """Each term has a row below its kind, each method a column; a number stands for the reason, told once."""
    table = compatibility_table()
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    )
    notes = dict(re.findall(r"^(\d+)\. (.+)$", table, flags=re.MULTILINE))
    assert head == ["kind", "loss", *METHODS]
    assert [row[1].replace("-", "_") for row in rows] == list(settings_classes())
    kinds = {term: kind for kind, terms in terms_by_kind().items() for term in terms}
    for kind, term, *cells in rows:
        name = term.replace("-", "_")
        assert kind == kinds[name]
        for method, cell in zip(METHODS, cells, strict=True):
            reason = caveat(method, name)
            assert cell == "yes" if reason is None else notes[cell] == reason
    assert len(set(notes.values())) == len(notes)
    assert {cell for row in rows for cell in row[2:]} == {"yes", *notes}


def test_one_method(capsys: pytest.CaptureFixture[str]) -> None:
    """With a name, its column alone, whose reasons are numbered from 1."""
    assert said(capsys, "byot", "--losses") == f"{compatibility_table(['byot'])}\n"
    assert "\n1. an exit has logits and no features" in compatibility_table(["byot"])
    assert "\n\n1." not in compatibility_table(["offline"])
    with pytest.raises(UsageError, match="no such method: exit"):
        call(["methods", "exit", "--losses"])


def test_it_is_there_at_once() -> None:
    """No torch is waited for."""
    program = (
        "import sys; from tutelage.cli import call; call(['methods', '--losses'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", program], check=False, stdout=subprocess.PIPE)
    assert finished.returncode == 0
