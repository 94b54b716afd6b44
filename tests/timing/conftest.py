"""A small trial on real pictures, and the scripts of benchmarks/ as modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tutelage.config.data import Data
from tutelage.config.job import Single

if TYPE_CHECKING:
    from tutelage.commands.benchmark_step import Trial

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def make_trial(tmp_path: Path) -> Callable[..., Trial]:
    """Two batches of 16 of the sample's pictures at 32 pixels, and tiny networks."""
    from tutelage.commands.benchmark_step import open_trial

    def make(data: str | Path = "sample", **changes: object) -> Trial:
        settings = Single(
            model="test_resnet",
            weights="none",
            batch_size=16,
            device="cpu",
            precision="fp32",
            data=Data(image_size=32),
            **changes,  # type: ignore[arg-type]
        )
        return open_trial(
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
