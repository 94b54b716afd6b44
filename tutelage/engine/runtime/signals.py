"""Handle Ctrl-C and SIGTERM with a flag that long work polls, so that it stops where nothing is lost.

A second Ctrl-C leaves at once: files are whole or absent at any moment, so nothing is damaged by it.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tutelage.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A request to stop: false until a signal arrives, and then which one."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.raising = False

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """Return 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.signal or signal.SIGINT)

    def poll(self, _done: int = 0, _count: int = 0) -> None:
        """Raise Interrupted if a stop was requested; usable as a progress callback.

        Raises:
            Interrupted: asked to stop, with the exit code of the signal.
        """
        if self:
            stopped = Interrupted("stopped; what is finished is kept, the rest is done anew")
            stopped.exit_code = self.exit_code
            raise stopped

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise KeyboardInterrupt as soon as a signal arrives in the block: for work without steps, which
        leaves each of its files whole or absent and is cheap to do again.

        Raises:
            Interrupted: asked to stop already.
        """
        self.raising = True
        try:
            self.poll()
            yield
        finally:
            self.raising = False


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM while the block runs (in the main thread only)."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            _leave(request.exit_code)
        request.signal = request.signal or number
        if request.raising:
            raise KeyboardInterrupt

    old = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _leave(code: int) -> None:
    """Exit at once and restore the terminal: a live block hides the cursor."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
    sys.stderr.write("stopped at once\n")
    sys.stderr.flush()
    os._exit(code)
