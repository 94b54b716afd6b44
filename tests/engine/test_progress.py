"""The live view of a job: what it shows of each run, and what it expects of the rest."""

import pytest

from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.progress import JobProgress

RUNS = [("teacher", "big", 4), ("student-0", "small", 10), ("control-0", "small", 10)]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr("tutelage.engine.runtime.progress.time.monotonic", lambda: clock[0])
    return clock


def states(progress: JobProgress) -> list[tuple[str, str]]:
    return [(row.name, row.state) for row in progress.rows()]


def test_a_job_from_begin_to_end(now: list[float]) -> None:
    """Waiting, at work, done; the rest is what the run at work says plus the same network's seconds."""
    progress = JobProgress(RUNS)
    assert progress.seconds_left() is None
    assert {row.state for row in progress.rows()} == {"waiting"}
    progress.start("teacher")
    progress.update("teacher: epoch 2/4", done=0.5, left=20.0)
    # 10 s an epoch, and of the small network nothing better is known.
    assert progress.seconds_left() == pytest.approx(20 + 2 * 10 * 10)
    now[0] += 40
    progress.finish("teacher", trained=True)
    progress.start("student-0")
    progress.update("student-0: epoch 5/10", done=0.5, left=5.0)
    assert progress.seconds_left() == pytest.approx(5 + 10)
    assert states(progress) == [
        ("teacher", "done"), ("student-0", "at work"), ("control-0", "waiting"),
    ]  # fmt: skip
    assert progress.rows()[0].text == "40 s"
    now[0] += 10
    progress.finish("student-0", trained=True)
    progress.start("control-0")
    progress.finish("control-0", trained=False)  # it had been done before: its time says nothing
    assert progress.seconds_left() == 0
    assert {row.state for row in progress.rows()} == {"done"}


def test_many_runs_are_counted(now: list[float]) -> None:
    """Those around the one at work are shown, of the others how many there are."""
    progress = JobProgress([(f"run-{number}", "net", 1) for number in range(40)])
    for number in range(20):
        progress.start(f"run-{number}")
        now[0] += 1
        progress.finish(f"run-{number}", trained=True)
    progress.start("run-20")
    rows = progress.rows()
    assert rows[0].name == "12 more runs"
    assert rows[-1].name == "11 more runs"
    assert [row.name for row in rows if row.state == "at work"] == ["run-20"]


@pytest.mark.usefixtures("now")
def test_block_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """One row a run, its own name not said twice, and the rest of the job."""
    import rich.console

    console = Console()
    console.progress = JobProgress(RUNS)
    console.console = rich.console.Console(force_terminal=True, width=100)
    console.progress.start("teacher")
    console._last = -1.0
    console.status("teacher: epoch 1/4 ####", done=0.25, left=30.0)
    console.clear()
    shown = capsys.readouterr().out
    for text in (
        "teacher",
        "student-0",
        "control-0",
        "waiting",
        "epoch 1/4",
        "about 3 min 50 s left",
    ):
        assert text in shown
    assert "teacher: " not in shown


@pytest.mark.usefixtures("now")
def test_away_from_a_terminal_the_rest_of_the_job_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console()
    console.progress = JobProgress(RUNS)
    console.progress.start("teacher")
    console.status("teacher: epoch 1/4", done=0.25, left=30.0)
    assert capsys.readouterr().err == "teacher: epoch 1/4; job: 3 min 50 s left\n"
