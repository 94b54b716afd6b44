"""A checkpoint that a stranger made and sealed: refused, or continued, never a traceback."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.config.training import DeviceConfig, OptimizationConfig
from tutelage.engine.checkpoint.format import Checkpoint, save_checkpoint
from tutelage.engine.checkpoint.identity import training_identity
from tutelage.engine.checkpoint.rotation import checkpoint_folder
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.train.resume import resume_training
from tutelage.engine.train.state import TrainingState
from tutelage.errors import InputError
from tutelage.methods.offline import supervised_training
from tutelage.models.build import BuiltModel

IDENTITY = training_identity(pack="one", processes=1)
Make = Callable[..., BuiltModel]


def new(make_network: Make) -> TrainingState:
    method = supervised_training(make_network().classifier, label_smoothing=0.0)
    return TrainingState(
        method, OptimizationConfig(ema_decay=0.9), resolve_runtime(DeviceConfig(device="cpu"))
    )


@pytest.fixture
def continued(make_network: Make, tmp_path: Path) -> Callable[[Checkpoint], None]:
    """Continue a run from a checkpoint."""

    def go_on(checkpoint: Checkpoint) -> None:
        save_checkpoint(checkpoint_folder(tmp_path, 1), checkpoint)
        journal = EventLog(tmp_path / "journal.jsonl")
        try:
            resume_training(
                new(make_network), tmp_path, identity=IDENTITY, journal=journal, say=lambda _: None
            )
        finally:
            journal.close()

    return go_on


FACTS: dict[str, list[Any]] = {
    "identity": [None, [], {}, {"pack": "two"}, {"pack": {"a": 1}}],
    "journal": [1 << 60, -1, "0", None, 1.5],
    "sums": [None, "x", [], ["a"], {}, [1e308] * 1000],
    "masked": [None, {"x": 1}, []],
    "best": [None, {}, {"epoch": 1, "accuracy": "x"}, {"epoch": 1}, {"__class__": "os.system"}],
    "random": [
        [],
        None,
        [{}],
        [{"python": [3, ["x"] * 625, None], "numpy": ["MT19937", [], 0, 0, 0.0]}],
    ],
    "tensors": [["method/x"], None, 1, [["x"]]],
    "scaler": [{"scale": "x"}, [1], "x"],
}


@pytest.mark.parametrize("name", FACTS)
def test_facts(name: str, make_network: Make, continued: Callable[[Checkpoint], None]) -> None:
    """Any value in place of any fact."""
    good = new(make_network).checkpoint(identity=IDENTITY, journal=0)
    continued(good)
    for value in FACTS[name]:
        with suppress(InputError):
            continued(Checkpoint(good.tensors, {**good.facts, name: value}))


@pytest.mark.parametrize("what", ["shape", "more", "optimizer", "random"])
def test_tensors(what: str, make_network: Make, continued: Callable[[Checkpoint], None]) -> None:
    """Tensors of other shapes, too many, and a random state that is none."""
    good = new(make_network).checkpoint(identity=IDENTITY, journal=0)
    tensors = dict(good.tensors)
    first = next(name for name in tensors if name.startswith("method/"))
    if what == "shape":
        tensors[first] = torch.zeros(1, 2, 3)
    elif what == "more":
        tensors["method/evil"] = torch.zeros(1)
    elif what == "optimizer":
        tensors |= {"optimizer/x/../y": torch.zeros(1), "optimizer/999999/step": torch.zeros(1)}
    else:
        tensors["random/0/cpu"] = torch.zeros(3).byte()
    with pytest.raises(InputError, match="the checkpoint"):
        continued(Checkpoint(tensors, {**good.facts, "tensors": sorted(tensors)}))
