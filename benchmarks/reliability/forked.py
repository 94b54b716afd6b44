"""Children of a process that has imported everything already: a hundred of them cost what a few would."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def start(work: Callable[[], int | None], *, log: Path) -> int:
    """Begin some work in a child whose exit code it returns; what it says goes to `log`. The child's id.

    The parent must not have computed anything with torch: its threads do not come along.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        code = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(child: int, *, seconds: float = 300.0) -> int:
    """The exit code of a child when it has ended; minus the signal that killed it.

    Raises:
        TimeoutError: it has not; it is killed.
    """
    code = _ended(child, seconds)
    if code is not None:
        return code
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"child {child} did not end in {seconds:.0f} s")


def run(work: Callable[[], int | None], *, log: Path, seconds: float = 300.0) -> int:
    """Some work in a child of its own, from begin to end; its exit code."""
    return end(start(work, log=log), seconds=seconds)


def killed_after(child: int, seconds: float) -> int:
    """Kill a child after a time, if it has not ended by itself; its exit code, -9 where it was killed."""
    code = _ended(child, seconds)
    if code is not None:
        return code
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _ended(child: int, seconds: float) -> int | None:
    """The exit code of a child that ends within a time, else nothing."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None
