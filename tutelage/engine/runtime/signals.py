"""Ctrl-C and SIGTERM: a flag that long work looks at, so that it stops where nothing is lost.

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
    """Which signal asked to stop, or none yet: false until then."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.raising = False

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.signal or signal.SIGINT)

    def poll(self, _done: int = 0, _count: int = 0) -> None:
        """Stop here if asked to; also where a progress is wanted.

        Raises:
            Interrupted: asked to stop, with the exit code of the signal.
        """
        if self:
            stopped = Interrupted("stopped; what is finished is kept, the rest is done anew")
            stopped.exit_code = self.exit_code
            raise stopped

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block a signal raises KeyboardInterrupt where it comes: for work without steps, which
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
    """Listen for SIGINT and SIGTERM while the block runs (in the main thread; elsewhere it hears none)."""
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
    """End this process now, with the terminal as it was: a live line hides the cursor."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
    sys.stderr.write("stopped at once\n")
    sys.stderr.flush()
    os._exit(code)
