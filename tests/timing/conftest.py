"""A small trial on real images, and the scripts of benchmarks/ as modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig

if TYPE_CHECKING:
    from tutelage.commands.benchmark_step import StepBenchmark

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def make_trial(tmp_path: Path) -> Callable[..., StepBenchmark]:
    """Two batches of 16 of the sample's images at 32 pixels, and tiny networks."""
    from tutelage.commands.benchmark_step import open_step_benchmark

    def make(data: str | Path = "sample", **changes: object) -> StepBenchmark:
        settings = TrainConfig(
            model="test_resnet",
            weights="none",
            batch_size=16,
            device="cpu",
            precision="fp32",
            data=DataConfig(image_size=32),
            **changes,  # type: ignore[arg-type]
        )
        return open_step_benchmark(
            data, settings, teacher="test_resnet", folder=tmp_path, images=32, say=print
        )

    return make


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts of benchmarks/ can be imported."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiny networks on one thread: several wait for each other far longer than they work."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
