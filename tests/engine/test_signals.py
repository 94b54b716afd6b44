"""Ctrl-C and SIGTERM become a flag; a second Ctrl-C leaves at once."""

import signal
import subprocess
import sys
import threading

import pytest

from tutelage.engine.runtime.signals import StopRequest, stop_requests
from tutelage.errors import Interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(number: int, code: int) -> None:
    """A signal sets the flag and its exit code, and nothing else happens."""
    with stop_requests() as stop:
        assert not stop
        signal.raise_signal(number)
        assert stop
        assert stop.exit_code == code


def test_polled() -> None:
    """Work without steps looks at the flag as its progress; it stops with the signal's exit code."""
    with stop_requests() as stop:
        stop.poll(1, 2)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            stop.poll(2, 2)
        assert caught.value.exit_code == 143


def test_at_once() -> None:
    """Where work asks for it a signal stops it where it is; one that came before does so, too."""
    with stop_requests() as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == 143
        with pytest.raises(Interrupted), stop.at_once():
            raise AssertionError("it went on")


@pytest.mark.parametrize(("first", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_twice(first: str, code: int) -> None:
    """A second Ctrl-C leaves at once, whatever the program is about; a second SIGTERM does not."""
    program = (
        "import signal; from tutelage.engine.runtime.signals import stop_requests\n"
        "with stop_requests() as stop:\n"
        f"    signal.raise_signal(signal.{first})\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    finally: print('went on')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (code, "")
    assert answer.stderr == "stopped at once\n"


def test_handlers_come_back() -> None:
    """After the block signals do what they did before, even where it failed."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError), stop_requests():
        raise RuntimeError
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads() -> None:
    """Outside the main thread nothing is listened to, and nothing fails."""
    seen: list[bool] = []

    def work() -> None:
        with stop_requests() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_by_hand() -> None:
    """A request nobody made is false; its exit code would be Ctrl-C's."""
    assert not StopRequest()
    assert StopRequest().exit_code == 130
