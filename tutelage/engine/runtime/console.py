"""The console: lines that stay, and a status line that is overwritten."""

import sys
import time

import rich.console
from rich.live import Live
from rich.text import Text

from tutelage.text import escape, escape_lines


class Console:
    """What a person sees: one live line that is redrawn, and lasting lines above it.

    Not a terminal: lasting lines only, plus the live line every ten seconds.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = rich.console.Console(
            file=sys.stderr, highlight=False, quiet=quiet, soft_wrap=True
        )
        self._live: Live | None = None
        self._last = 0.0

    def line(self, text: str) -> None:
        """Print a lasting line."""
        self.console.print(Text(escape_lines(text)))

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
                    Text(escape(text), overflow="ellipsis", no_wrap=True), refresh=True
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


def progress_bar(done: float, width: int = 16) -> str:
    """A progress bar in plain characters.

    >>> progress_bar(0.5, width=4)
    '##--'
    """
    full = round(max(0.0, min(1.0, done)) * width)
    return "#" * full + "-" * (width - full)


def format_duration(seconds: float) -> str:
    """Seconds for a person.

    >>> format_duration(59), format_duration(75), format_duration(7300)
    ('59 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
