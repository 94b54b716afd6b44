"""The runs of a job while it works: done, at work or waiting, and how long the rest will take."""

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

_SHOWN = 8
"""Rows for finished and for waiting runs; of more, the nearest are shown and the others counted."""


class PlanRow(NamedTuple):
    """One run in the block."""

    name: str

    state: Literal["done", "at work", "waiting"]

    text: str
    """How long it took, what it is doing, or nothing."""


class JobProgress:
    """Follow the runs of a job, and estimate what is left of it.

    A run that waits is estimated from finished runs of the same network: seconds an epoch. Where there is
    none, the mean of the networks seen so far is taken; before the first second of training nothing is.

    Args:
        runs: (name, network, epochs) of each, in their order.
    """

    def __init__(self, runs: Sequence[tuple[str, str, int]]) -> None:
        self._runs = list(runs)
        self._took: dict[str, float] = {}
        self._rates: dict[str, float] = {}
        self._current: str | None = None
        self._begin = 0.0
        self._left: float | None = None
        self._text = ""

    def start(self, name: str) -> None:
        """Take up a run."""
        self._current, self._begin, self._left, self._text = name, time.monotonic(), None, ""

    def update(self, text: str, *, done: float | None = None, left: float | None = None) -> None:
        """Note what the run at work is doing.

        Args:
            text: for the block.
            done: share of its training, in [0, 1]; None: it is not training.
            left: seconds of its training that are left.
        """
        self._text = text
        if done and left is not None:
            self._left = left
            model, epochs = next((m, e) for n, m, e in self._runs if n == self._current)
            if epochs:
                self._rates[model] = left / max(1e-9, (1 - done) * epochs) if done < 1 else 0.0

    def finish(self, name: str, *, trained: bool) -> None:
        """Put a run aside; `trained` is false where it had been finished before."""
        self._took[name] = time.monotonic() - self._begin
        model, epochs = next((m, e) for n, m, e in self._runs if n == name)
        if trained and epochs:
            self._rates[model] = self._took[name] / epochs
        self._current, self._left = None, None

    def seconds_left(self) -> float | None:
        """Estimate the rest of the job; None: nothing is known yet."""
        known = [rate for rate in self._rates.values() if rate > 0]
        if not known:
            return None
        usual = sum(known) / len(known)
        waiting = sum(
            epochs * self._rates.get(model, usual)
            for name, model, epochs in self._runs
            if name not in self._took and name != self._current
        )
        return waiting + (self._left or 0.0)

    def rows(self) -> list[PlanRow]:
        """List the runs as they stand; of many, those around the one at work."""
        rows = [self._row(name) for name, _, _ in self._runs]
        done = [row for row in rows if row.state == "done"]
        waiting = [row for row in rows if row.state == "waiting"]
        work = [row for row in rows if row.state == "at work"]
        shown = [*done[-_SHOWN:], *work, *waiting[:_SHOWN]]
        if len(done) > _SHOWN:
            shown.insert(0, PlanRow(f"{len(done) - _SHOWN} more runs", "done", ""))
        if len(waiting) > _SHOWN:
            shown.append(PlanRow(f"{len(waiting) - _SHOWN} more runs", "waiting", ""))
        return shown

    def _row(self, name: str) -> PlanRow:
        if name in self._took:
            return PlanRow(name, "done", format_duration(self._took[name]))
        if name == self._current:
            return PlanRow(name, "at work", self._text)
        return PlanRow(name, "waiting", "")


def progress_bar(done: float, width: int = 16) -> str:
    """Draw a progress bar in plain characters.

    >>> progress_bar(0.5, width=4)
    '##--'
    """
    full = round(max(0.0, min(1.0, done)) * width)
    return "#" * full + "-" * (width - full)


def format_duration(seconds: float) -> str:
    """Write seconds for a person.

    >>> format_duration(59), format_duration(75), format_duration(7300)
    ('59 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
