"""Threads in order, exact moments, and which part of the cores a process takes."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tutelage.data.decode.parallel import in_order, threads
from tutelage.data.pack.channel_stats import channel_mean_std, channel_sums
from tutelage.distributed import ALONE, World


def test_results_come_in_order_and_few_wait() -> None:
    """Whatever takes long; no more than the allowed number of chunks is begun ahead of the reader."""
    begun: list[int] = []

    def work(part: list[int]) -> list[int]:
        begun.append(part[0])
        time.sleep(0.002 if part[0] % 3 else 0.01)
        return [-one for one in part]

    taken: list[int] = []
    for chunk in in_order(work, range(50), workers=3, chunk=4, ahead=2):
        taken += chunk
        assert len(begun) * 4 <= len(taken) + 3 * 2 * 4
    assert taken == [-one for one in range(50)]


def test_an_error_comes_in_its_place_and_ends_the_threads() -> None:
    """What came before it is given; what comes after is dropped."""

    def work(part: list[int]) -> int:
        return 1 // (5 - part[0])

    results = in_order(work, range(1000), workers=2, chunk=1)
    assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    results = in_order(lambda part: part, range(1000), workers=2, chunk=1)
    assert next(results) == [0]
    results.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPool")]


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores over the processes on this machine, which may be fewer than all."""
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert threads(ALONE) == 8
    assert threads(World(0, 3, 0)) == 2
    assert threads(World(0, 100, 0)) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert threads(World(0, 16, 0)) == 4
    assert threads(ALONE) == 8


@given(some.integers(1, 20), some.integers(1, 5), some.integers(0, 2**32 - 1))
def test_moments_are_those_of_the_pixels(side: int, count: int, seed: int) -> None:
    """Mean and deviation from the sums of single images, against numpy over all pixels at once."""
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    mean, std = channel_mean_std(map(channel_sums, images), count * side**2)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-9, atol=1e-9)


def test_no_sum_overflows() -> None:
    """The largest images there are, all white: the sums are exact, the deviation is nothing."""
    white = np.broadcast_to(np.uint8(255), (4096, 64, 3))
    assert channel_sums(white) == (255 * 4096 * 64,) * 3 + (255**2 * 4096 * 64,) * 3
    assert channel_mean_std([channel_sums(white)] * 3, 3 * 4096 * 64) == ([1.0] * 3, [0.0] * 3)
