"""The journal: lines, positions, rewinding, torn ends; and what a person sees."""

from contextlib import closing
from pathlib import Path

import pytest

from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.journal import EventLog, read_events
from tutelage.engine.runtime.progress import format_duration, progress_bar


def test_lines(tmp_path: Path) -> None:
    """Each event is one line of JSON, there as soon as it is written; any text is kept."""
    path = tmp_path / "journal.jsonl"
    with closing(EventLog(path)) as journal:
        journal.write("start", note="Zürich \u2028 日本\n")
        assert read_events(path) == [{"event": "start", "note": "Zürich \u2028 日本\n"}]
        journal.write("epoch", epoch=1, lr=0.1)
    with closing(EventLog(path)) as journal:
        journal.write("end")
    assert [event["event"] for event in read_events(path)] == ["start", "epoch", "end"]
    assert path.read_bytes().count(b"\n") == 3


def test_not_a_number(tmp_path: Path) -> None:
    """Not-a-number is refused: the journal stays readable by any tool."""
    with (
        closing(EventLog(tmp_path / "journal.jsonl")) as journal,
        pytest.raises(ValueError, match="JSON compliant"),
    ):
        journal.write("epoch", loss=float("nan"))


def test_rewind(tmp_path: Path) -> None:
    """What came after a position is dropped, and writing goes on from there."""
    path = tmp_path / "journal.jsonl"
    with closing(EventLog(path)) as journal:
        journal.write("one")
        position = journal.position()
        assert position == path.stat().st_size
        journal.write("two")
    with closing(EventLog(path)) as journal:
        journal.rewind(position)
        journal.write("three")
        assert journal.position() == path.stat().st_size
    assert [event["event"] for event in read_events(path)] == ["one", "three"]


def test_torn_line(tmp_path: Path) -> None:
    """A line cut short by a crash is left out, even in the middle of a letter."""
    path = tmp_path / "journal.jsonl"
    whole = '{"event": "one"}\n{"event": "ü'.encode()
    for cut in range(18, len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert read_events(path) == [{"event": "one"}]


def test_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal lasting lines are printed as they are, markup and all; quiet prints none."""
    screen = Console()
    screen.line("[bold]a class called [/] in a line" + " that goes on" * 20)
    screen.clear()
    Console(quiet=True).line("nothing")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "[bold]a class called [/] in a line" + " that goes on" * 20 + "\n"


def test_status_is_rare_in_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away from a terminal the live line appears at most every ten seconds."""
    now = [1000.0]
    monkeypatch.setattr("tutelage.engine.runtime.console.time.monotonic", lambda: now[0])
    screen = Console()
    for number in range(25):
        screen.status(f"at {number}")
        now[0] += 1
    assert capsys.readouterr().err.split("\n")[:-1] == ["at 0", "at 11", "at 22"]


def test_bar() -> None:
    """The bar is as wide as asked for at any share, in range or not."""
    assert [progress_bar(share, width=4) for share in (-1, 0, 0.5, 1, 2)] == [
        "----",
        "----",
        "##--",
        "####",
        "####",
    ]


def test_duration() -> None:
    """Seconds never reach 60 nor minutes 60."""
    assert format_duration(59.6) == "1 min 00 s"
    assert format_duration(3599.7) == "1 h 00 min"
