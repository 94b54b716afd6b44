"""Ctrl-C and SIGTERM become a flag; a second Ctrl-C leaves at once."""

import signal
import threading

import pytest

from tutelage.engine.interrupt import StopRequest, stop_requests


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(number: int, code: int) -> None:
    """A signal sets the flag and its exit code, and nothing else happens."""
    with stop_requests() as stop:
        assert not stop
        signal.raise_signal(number)
        assert stop
        assert stop.exit_code == code


def test_twice() -> None:
    """A second Ctrl-C leaves at once; a second SIGTERM does not."""
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == 143
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


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
