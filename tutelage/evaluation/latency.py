"""The latency of a network, measured on this machine."""

import platform
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.config.image_size import ImageSize
from tutelage.errors import UsageError
from tutelage.evaluation.cost import eval_mode, sample_images
from tutelage.storage.scores import Latency

WARM_UP_RUNS = 3
FEWEST_RUNS = 10
MOST_RUNS = 1000


def measure_latency(
    model: nn.Module,
    input_size: ImageSize,
    batches: Sequence[int] = (1, 32),
    device: torch.device | str | None = None,
    *,
    seconds: float = 3.0,
    channels: int = 3,
) -> list[Latency]:
    """Time forward passes in eval mode without gradients, in the model's own precision.

    Each batch size is warmed up, then repeated for `seconds`, at least 10 and at most 1000 times. The model
    is left as it was; for another `device` than its own a copy is measured.

    Args:
        model: takes float images [B, channels, H, W].
        input_size: side of a square in pixels, or height and width.
        batches: batch sizes; each gives one result.
        device: where to measure; by default where the model is.
        seconds: time for each batch size.
        channels: of the images.

    Raises:
        UsageError: a batch size below 1.
    """
    if min(batches, default=1) < 1:
        raise UsageError("a batch size below 1 cannot be timed", found=list(batches))
    here = sample_images(model, 1, 1).device
    place = here if device is None else torch.device(device)
    if place.type != here.type or place.index not in (None, here.index):
        model = deepcopy(model).to(place)
    with eval_mode(model):
        return [
            _measure(model, sample_images(model, batch, input_size, channels), seconds)
            for batch in batches
        ]


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or the name of the CPU with the number of threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return str(device)
    threads = torch.get_num_threads()
    return f"{_cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"


def _measure(model: nn.Module, images: Tensor, seconds: float) -> Latency:
    start = time.perf_counter()
    for _ in range(WARM_UP_RUNS):
        _run_ms(model, images)
        if time.perf_counter() - start > seconds / 3:
            break
    runs: list[float] = []
    start = time.perf_counter()
    while len(runs) < FEWEST_RUNS or (
        len(runs) < MOST_RUNS and time.perf_counter() - start < seconds
    ):
        runs.append(_run_ms(model, images))
    p50, p95 = np.percentile(runs, [50, 95])
    return {
        "batch": len(images),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "device": device_name(images.device),
    }


def _run_ms(model: nn.Module, images: Tensor) -> float:
    start = time.perf_counter()
    model(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return 1000 * (time.perf_counter() - start)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
