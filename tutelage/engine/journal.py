"""The journal of a run: one JSON object a line, for tools; and what a person sees meanwhile.

The journal holds no wall-clock figures, so that two equal runs have equal journals.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tutelage.disk import telling
from tutelage.errors import InputError
from tutelage.harmless import lines, shown


class Journal:
    """Append events to a file; `position` and `rewind` keep it in step with a checkpoint.

    Raises:
        MachineError: the file cannot be written; so does every function that writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with telling(path):
            self._file = path.open("ab", buffering=0)

    def write(self, event: str, **facts: Any) -> None:
        """Add one line, handed to the system at once."""
        line = json.dumps({"event": event, **facts}, ensure_ascii=False, allow_nan=False) + "\n"
        left = line.encode("utf-8", "surrogateescape")
        with telling(self._path, needed=len(left)):
            while left:
                left = left[self._file.write(left) :]

    def position(self) -> int:
        """Bytes so far."""
        return os.fstat(self._file.fileno()).st_size

    def sync(self) -> None:
        """Flush all lines to the disk."""
        with telling(self._path):
            os.fsync(self._file.fileno())

    def rewind(self, position: int) -> None:
        """Drop what was written after a checkpoint that is now continued.

        Raises:
            InputError: the file ends before it.
        """
        if self.position() < position:
            raise InputError(
                "the journal ends before the checkpoint that is to be continued",
                where=self._path,
                found=f"{self.position():,} bytes",
                expected=f"at least {position:,} bytes",
                fix="take the run's folder of checkpoints away to begin this run anew",
            )
        with telling(self._path):
            self._file.truncate(position)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal; a line torn by a crash is left out."""
    events = []
    for line in path.read_bytes().splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            break
    return events


class Screen:
    """What a person sees: one live line that is redrawn, and lasting lines above it.

    Not a terminal: lasting lines only, plus the live line every ten seconds.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(file=sys.stderr, highlight=False, quiet=quiet, soft_wrap=True)
        self._live: Live | None = None
        self._last = 0.0

    def line(self, text: str) -> None:
        """Print a lasting line."""
        self.console.print(Text(lines(text)))

    def status(self, text: str) -> None:
        """Redraw the live line."""
        now = time.monotonic()
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(
                    console=self.console, transient=True, auto_refresh=False, redirect_stdout=False
                )
                self._live.start()
            if now - self._last > 0.1:
                self._live.update(
                    Text(shown(text), overflow="ellipsis", no_wrap=True), refresh=True
                )
                self._last = now
        elif now - self._last > 10:
            self._last = now
            self.line(text)

    def clear(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._last = time.monotonic()


def bar(done: float, width: int = 16) -> str:
    """A progress bar in plain characters.

    >>> bar(0.5, width=4)
    '##--'
    """
    full = round(max(0.0, min(1.0, done)) * width)
    return "#" * full + "-" * (width - full)


def duration(seconds: float) -> str:
    """Seconds for a person.

    >>> duration(59), duration(75), duration(7300)
    ('59 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def terms_text(terms: Mapping[str, float]) -> str:
    """Loss terms on one line.

    >>> terms_text({"label": 0.5, "kd": 1.25})
    'label 0.500  kd 1.250'
    """
    return "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
