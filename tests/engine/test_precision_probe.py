"""Half precision is tried out, the choice is kept, and processes agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.config.training import DeviceConfig
from tutelage.distributed import ALONE
from tutelage.engine.runtime import precision_probe as probe
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.precision_probe import choose_precision
from tutelage.models.build import BuiltModel
from tutelage.models.weights import fingerprint_of
from tutelage.storage.checksums import read_sealed

HALF = Runtime(torch.device("cpu"), torch.bfloat16, True)


@pytest.mark.parametrize(("gain", "found"), [(0.7, "fp32"), (1.05, "fp32"), (1.9, "bfloat16")])
def test_choice(
    tmp_path: Path,
    make_network: Callable[..., BuiltModel],
    monkeypatch: pytest.MonkeyPatch,
    gain: float,
    found: str,
) -> None:
    """Taken only where it is clearly faster; kept in a file and then not timed again."""
    timed: list[float] = []

    def timing(*_: Any) -> float:
        timed.append(gain)
        return gain

    monkeypatch.setattr(probe, "_gain", timing)
    said: list[str] = []
    for _ in range(2):
        runtime = choose_precision(
            HALF,
            DeviceConfig(),
            make_network().classifier,
            size=32,
            batch_size=16,
            name="net",
            file=tmp_path / "new" / "precision.json",
            world=ALONE,
            say=said.append,
        )
        assert runtime == (HALF if found == "bfloat16" else HALF.plain)
    assert read_sealed(tmp_path / "new" / "precision.json", kind="choices") == {
        "net at 32 px, batch 16": found
    }
    assert len(timed) == len(said) == 1
    assert f"{gain:.2f} x" in said[0]


def test_timing_leaves_the_network_alone(make_network: Callable[..., BuiltModel]) -> None:
    """A real timing: a ratio comes out, weights and running averages stay."""
    classifier = make_network().classifier
    before = fingerprint_of(classifier)
    assert 0.01 < probe._gain(HALF, classifier, 32, 8) < 100
    assert fingerprint_of(classifier) == before


def test_not_asked_for(tmp_path: Path, make_network: Callable[..., BuiltModel]) -> None:
    """A precision that is named, or a runtime without half precision, is taken as it is."""
    for runtime, machine in ((HALF, DeviceConfig(precision="bf16")), (HALF.plain, DeviceConfig())):
        found = choose_precision(
            runtime,
            machine,
            make_network().classifier,
            size=32,
            batch_size=16,
            name="net",
            file=tmp_path / "precision.json",
            world=ALONE,
            say=lambda _: None,
        )
        assert found == runtime
    assert not (tmp_path / "precision.json").exists()
