"""The console: lines that stay, and below them a live block that is redrawn."""

import sys
import time

import rich.console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tutelage.engine.runtime.progress import JobProgress, format_duration
from tutelage.text import escape, escape_lines

_STYLES = {"done": "green", "at work": "bold", "waiting": "dim"}


class Console:
    """What a person sees: lasting lines, and a live block below them.

    The block is the job's plan, where there is one (`progress`), else the status line alone. Not a terminal:
    lasting lines only, plus the status every ten seconds.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = rich.console.Console(
            file=sys.stderr, highlight=False, quiet=quiet, soft_wrap=True
        )
        self.progress: JobProgress | None = None
        self._live: Live | None = None
        self._last = 0.0

    def line(self, text: str) -> None:
        """Print a lasting line."""
        self.console.print(Text(escape_lines(text)))

    def status(self, text: str, *, done: float | None = None, left: float | None = None) -> None:
        """Redraw the live block.

        Args:
            text: what is being done.
            done: share of the training of this run, in [0, 1]; None: it is not training.
            left: seconds of that training that are left.
        """
        if self.progress is not None:
            self.progress.update(text, done=done, left=left)
        now = time.monotonic()
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(
                    console=self.console, transient=True, auto_refresh=False, redirect_stdout=False
                )
                self._live.start()
            if now - self._last > 0.1:
                self._live.update(self._block(text), refresh=True)
                self._last = now
        elif now - self._last > 10:
            self._last = now
            rest = self.progress.seconds_left() if self.progress else None
            self.line(text if rest is None else f"{text}; job: {format_duration(rest)} left")

    def clear(self) -> None:
        """Take the live block away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._last = time.monotonic()

    def _block(self, text: str) -> Table | Text:
        if self.progress is None:
            return Text(escape(text), overflow="ellipsis", no_wrap=True)
        table = Table.grid(padding=(0, 2))
        rows = self.progress.rows()
        table.add_column(no_wrap=True, min_width=max(len(row.name) for row in rows))
        table.add_column(no_wrap=True, min_width=max(map(len, _STYLES)))
        table.add_column(no_wrap=True, overflow="ellipsis")
        for row in rows:
            style = _STYLES[row.state]
            # The status begins with the run's name, which stands in the first column already.
            detail = row.text.removeprefix(f"{row.name}: ")
            table.add_row(
                Text(escape(row.name), style), Text(row.state, style), Text(escape(detail), style)
            )
        rest = self.progress.seconds_left()
        if rest is not None:
            table.add_row(Text("job"), Text(""), Text(f"about {format_duration(rest)} left"))
        return table
