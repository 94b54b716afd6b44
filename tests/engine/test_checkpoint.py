"""Checkpoints: whole or absent, exact to the bit, refused when damaged or of another run."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tutelage.engine.checkpoint import (
    Checkpoint,
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    under,
)
from tutelage.engine.optim import Weights
from tutelage.engine.precision import resolve
from tutelage.engine.settings import Machine, Training
from tutelage.engine.state import TrainingState
from tutelage.errors import InputError, MachineError
from tutelage.files import settle
from tutelage.methods.offline import supervised
from tutelage.models.build import build
from tutelage.models.settings import Network


def checkpoint(step: int = 1) -> Checkpoint:
    tensors = {
        "a": torch.arange(6.0).view(2, 3),
        "n": torch.tensor(3),
        "b": torch.ones(2).bfloat16(),
    }
    return Checkpoint(tensors, {"step": step, "sums": [0.1, 1 / 3]})


def test_round_trip(tmp_path: Path) -> None:
    """Tensors and numbers come back to the bit; a newer checkpoint replaces the older."""
    folder = tmp_path / "checkpoint"
    assert load_checkpoint(folder) is None
    for step in (1, 2):
        save_checkpoint(folder, checkpoint(step))
        found = load_checkpoint(folder)
        assert found is not None
        assert found.facts == checkpoint(step).facts
        assert found.tensors.keys() == checkpoint().tensors.keys()
        for name, tensor in checkpoint().tensors.items():
            assert torch.equal(found.tensors[name], tensor)
            assert found.tensors[name].dtype == tensor.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_nothing_in_it_is_code(tmp_path: Path) -> None:
    """A checkpoint is JSON and safetensors."""
    save_checkpoint(tmp_path / "c", checkpoint())
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["facts.json", "manifest.json", "tensors.safetensors"]
    assert json.loads((tmp_path / "c" / "facts.json").read_text())["step"] == 1


@pytest.mark.parametrize("name", ["facts.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["changed", "short", "missing"])
def test_damaged(tmp_path: Path, name: str, damage: str) -> None:
    """One changed byte, a file cut short or gone is an error naming the file, never a fresh start."""
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint())
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[-1] ^= 1
        path.write_bytes(content if damage == "changed" else content[:-1])
    with pytest.raises(InputError, match="damaged checkpoint") as caught:
        load_checkpoint(folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 2}', b'{"format": 1}'])
def test_damaged_manifest(tmp_path: Path, content: bytes) -> None:
    """A manifest that cannot be read, or of another format, is an error naming the folder."""
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint())
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert str(folder) in str(caught.value)


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the older checkpoint is still there."""
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tutelage.engine.checkpoint.save_file", refuse)
    with pytest.raises(MachineError, match="No space left"):
        save_checkpoint(folder, checkpoint(2))
    found = load_checkpoint(folder)
    assert found is not None
    assert found.facts["step"] == 1


def test_killed_while_saving(tmp_path: Path) -> None:
    """A checkpoint moved aside by a process that was then killed is found again, not forgotten."""
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1))
    folder.rename(tmp_path / ".checkpoint.123.old")
    (tmp_path / ".checkpoint.123.part").mkdir()
    settle(folder)
    found = load_checkpoint(folder)
    assert found is not None
    assert found.facts["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_prefixes() -> None:
    """Tensors are kept apart by their owner's name."""
    tensors = module_tensors("method", nn.Linear(2, 2)) | {"methods/x": torch.zeros(1)}
    assert sorted(under("method", tensors)) == ["bias", "weight"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_optimizer(optimizer: str, layout: torch.memory_format) -> None:
    """An optimiser put back goes on exactly, whatever the layout of the weights in memory."""

    def module() -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
        return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]

    def step(network: nn.Module, weights: Weights, seed: int) -> None:
        images = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
        torch.autograd.backward(network(images).square().mean())
        weights.take_gradients()
        weights.optimizer.step()
        weights.forget_gradients()

    settings = Training(optimizer=optimizer, lr=0.05, weight_decay=0.01)  # type: ignore[arg-type]
    whole = module()
    optimiser = Weights(whole, settings)
    step(whole, optimiser, 1)
    saved = {name: tensor.clone().contiguous() for name, tensor in whole.state_dict().items()}
    kept = {n: t.clone().contiguous() for n, t in optimizer_tensors(optimiser.optimizer).items()}
    for seed in (2, 3):
        step(whole, optimiser, seed)
    again = module()
    again.load_state_dict(saved)
    fresh = Weights(again, settings)
    restore_optimizer(fresh.optimizer, kept)
    for seed in (2, 3):
        step(again, fresh, seed)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_other_run(tmp_path: Path) -> None:
    """A checkpoint of a run with other settings or inputs is refused, and nothing is taken from it."""

    def state(seed: int) -> TrainingState:
        built = build(
            Network(model="test_resnet"),
            classes=3,
            stored_size=32,
            train_statistics=((0.5,) * 3, (0.5,) * 3),
            seed=seed,
        )
        method = supervised(built.classifier, label_smoothing=0.0)
        return TrainingState(method, Training(ema=0.9), resolve(Machine(device="cpu")))

    one, other = state(0), state(1)
    one.step = 7
    save_checkpoint(tmp_path / "c", one.checkpoint(fingerprint="one", journal=0))
    found = load_checkpoint(tmp_path / "c")
    assert found is not None
    with pytest.raises(InputError, match="other settings or inputs"):
        other.restore(found, fingerprint="other")
    assert other.step == 0
    other.restore(found, fingerprint="one")
    assert other.step == 7
    for a, b in zip(one.measured.parameters(), other.measured.parameters(), strict=True):
        assert torch.equal(a, b)
