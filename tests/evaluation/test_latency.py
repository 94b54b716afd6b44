"""Latency: what is measured, for how long, and that the network is left alone."""

import time

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import UsageError
from tutelage.evaluation.latency import FEWEST_RUNS, WARM_UP_RUNS, device_name, measure_latency


class Sleeper(nn.Module):
    """A network that takes a known time a call, longer on its first, and remembers its calls."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seconds = seconds
        self.calls: list[tuple[list[int], bool, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds * (1 if self.calls else 10))
        self.calls.append((list(images.shape), self.training, torch.is_grad_enabled()))
        return images * self.weight


def test_known_time() -> None:
    """A network of 5 ms is measured as 5 ms, without its slow first call, within the budget."""
    model = Sleeper(0.005).train()
    start = time.perf_counter()
    (found,) = measure_latency(model, 4, batches=(2,), seconds=0.2)
    # Sleeps are never shorter; a busy machine can make single ones much longer.
    assert 5 <= found["p50_ms"] < 40
    assert found["p95_ms"] >= found["p50_ms"]
    assert time.perf_counter() - start < 3
    assert model.training
    assert model.calls[0] == ([2, 3, 4, 4], False, False)
    assert all(call == model.calls[0] for call in model.calls)


def test_slow_network_gets_the_fewest_runs() -> None:
    """Beyond the budget a network still runs ten times, after one warm-up."""
    model = Sleeper(0.002)
    measure_latency(model, 4, batches=(1,), seconds=0.0)
    assert len(model.calls) == FEWEST_RUNS + 1


def test_fast_network_stops_early() -> None:
    """A network of no time at all ends after a thousand runs, not after its budget."""
    model = Sleeper(0.0)
    measure_latency(model, 1, batches=(1,), seconds=60.0)
    assert len(model.calls) == 1000 + WARM_UP_RUNS


def test_batches_and_device() -> None:
    """One result a batch size, in order, naming the processor and its threads."""
    results = measure_latency(nn.Conv2d(3, 2, 3), 8, batches=(1, 4), seconds=0.01)
    assert [result["batch"] for result in results] == [1, 4]
    threads = torch.get_num_threads()
    name = device_name(torch.device("cpu"))
    assert name.endswith(f", {threads} thread" if threads == 1 else f", {threads} threads")
    assert {result["device"] for result in results} == {name}
    assert all(set(result) == {"batch", "p50_ms", "p95_ms", "device"} for result in results)


def test_weights_and_buffers_are_unchanged() -> None:
    """Measuring moves no running average."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure_latency(model, 8, batches=(2,), device="cpu", seconds=0.01)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_another_device_is_measured_on_a_copy() -> None:
    """A network elsewhere stays where it is."""
    model = nn.Conv2d(3, 2, 3)
    (found,) = measure_latency(model, 8, batches=(1,), device="meta", seconds=0.01)
    assert found["device"] == "meta"
    assert model.weight.device.type == "cpu"


def test_empty_batch_is_refused() -> None:
    """A batch size below 1 is refused."""
    with pytest.raises(UsageError, match=r"\[1, 0\]"):
        measure_latency(nn.Conv2d(3, 2, 3), 8, batches=(1, 0))
