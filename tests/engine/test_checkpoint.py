"""Checkpoints: whole or absent, exact to the bit, refused when damaged or of another run."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from support.examples import examples
from tutelage.config.model import ModelConfig
from tutelage.config.training import DeviceConfig, OptimizationConfig
from tutelage.engine.checkpoint.format import (
    _DTYPES,
    Checkpoint,
    check_checkpoint,
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    tensors_under,
)
from tutelage.engine.checkpoint.identity import training_identity
from tutelage.engine.checkpoint.rotation import checkpoint_folder, find_latest_checkpoint
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.train.optim import ParameterOptimizer
from tutelage.engine.train.state import TrainingState
from tutelage.errors import InputError
from tutelage.methods.offline import supervised_training
from tutelage.models.build import build_model

DTYPES = list(_DTYPES)


def checkpoint(step: int = 1) -> Checkpoint:
    tensors = {
        "a": torch.arange(6.0).view(2, 3),
        "n": torch.tensor(3),
        "b": torch.ones(2).bfloat16(),
    }
    return Checkpoint(tensors, {"step": step, "sums": [0.1, 1 / 3]})


def test_round_trip(tmp_path: Path) -> None:
    """Tensors and numbers come back to the bit, whoever reads the file; a folder is replaced as a whole."""
    folder = tmp_path / "checkpoint"
    for step in (1, 2):
        size = save_checkpoint(folder, checkpoint(step))
        files = [folder / "tensors.safetensors", folder / "facts.json"]
        assert size == sum(path.stat().st_size for path in files)
        found = load_checkpoint(folder)
        assert found.facts == checkpoint(step).facts
        assert found.tensors.keys() == checkpoint().tensors.keys()
        for name, tensor in checkpoint().tensors.items():
            assert torch.equal(found.tensors[name], tensor)
            assert found.tensors[name].dtype == tensor.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@examples(30)
@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3))))
def test_any_tensors(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[torch.dtype, list[int]]]
) -> None:
    """Any set of tensors is a valid safetensors file: empty ones, numbers, transposed ones."""
    tensors = {
        f"tensor {number}": (torch.rand(shape) * 200).to(dtype).mT
        if len(shape) > 1
        else (torch.rand(shape) * 200).to(dtype)
        for number, (dtype, shape) in enumerate(kinds)
    }
    folder = tmp_path_factory.mktemp("any") / "checkpoint"
    save_checkpoint(folder, Checkpoint(tensors, {}))
    found = load_checkpoint(folder).tensors
    assert {name: (one.dtype, one.shape) for name, one in found.items()} == {
        name: (one.dtype, one.shape) for name, one in tensors.items()
    }
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


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
    with pytest.raises(InputError, match="a checkpoint that is damaged") as caught:
        load_checkpoint(folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 3}', b'{"format": 4, "files": {}}'])
def test_damaged_manifest(tmp_path: Path, content: bytes) -> None:
    """A manifest that cannot be read, or of another format, is an error naming the file."""
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint())
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert str(folder / "manifest.json") in str(caught.value)


def test_every_byte_counts(tmp_path: Path) -> None:
    """One bit changed anywhere in a checkpoint, its manifest included, is noticed."""
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint())
    for path in folder.iterdir():
        content = path.read_bytes()
        for number in range(0, len(content), 3):
            changed = bytearray(content)
            changed[number] ^= 1 << number % 8
            path.write_bytes(changed)
            with pytest.raises(InputError):
                check_checkpoint(folder)
        path.write_bytes(content)
    check_checkpoint(folder)


def test_newest(tmp_path: Path) -> None:
    """The newest whole checkpoint is found, newer ones are refused by name, other folders are no matter."""
    assert find_latest_checkpoint(tmp_path) == (None, [])
    for step in (5, 20, 100_000_000):
        save_checkpoint(checkpoint_folder(tmp_path, step), checkpoint(step))
    (tmp_path / "checkpoints" / "step-of-mine").mkdir()
    (checkpoint_folder(tmp_path, 100_000_000) / "manifest.json").unlink()
    (checkpoint_folder(tmp_path, 20) / "facts.json").write_bytes(b"{}")
    found = find_latest_checkpoint(tmp_path)
    assert found.folder == checkpoint_folder(tmp_path, 5)
    assert [line.partition(":")[0] for line in found.refused] == ["step-100000000", "step-00000020"]
    (checkpoint_folder(tmp_path, 5) / "tensors.safetensors").unlink()
    with pytest.raises(InputError, match="no checkpoint of this run is whole") as caught:
        find_latest_checkpoint(tmp_path)
    assert all(f"step-{step:08d}" in str(caught.value) for step in (5, 20, 100_000_000))


def test_of_an_earlier_version(tmp_path: Path) -> None:
    """The one checkpoint of earlier versions is refused by name; the run does not begin anew."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "manifest.json").write_text('{"format": 3}')
    with pytest.raises(InputError, match="another format"):
        find_latest_checkpoint(tmp_path)


def test_prefixes() -> None:
    """Tensors are kept apart by their owner's name."""
    tensors = module_tensors("method", nn.Linear(2, 2)) | {"methods/x": torch.zeros(1)}
    assert sorted(tensors_under("method", tensors)) == ["bias", "weight"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_optimizer(optimizer: str, layout: torch.memory_format) -> None:
    """An optimizer put back goes on exactly, whatever the layout of the weights in memory."""

    def module() -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
        return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]

    def step(network: nn.Module, weights: ParameterOptimizer, seed: int) -> None:
        images = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
        torch.autograd.backward(network(images).square().mean())
        weights.take_gradients()
        weights.optimizer.step()
        weights.forget_gradients()

    training = OptimizationConfig(optimizer=optimizer, lr=0.05, weight_decay=0.01)  # type: ignore[arg-type]
    whole = module()
    optimiser = ParameterOptimizer(whole, training)
    step(whole, optimiser, 1)
    saved = {name: tensor.clone().contiguous() for name, tensor in whole.state_dict().items()}
    kept = {n: t.clone().contiguous() for n, t in optimizer_tensors(optimiser.optimizer).items()}
    for seed in (2, 3):
        step(whole, optimiser, seed)
    again = module()
    again.load_state_dict(saved)
    fresh = ParameterOptimizer(again, training)
    restore_optimizer(fresh.optimizer, kept)
    for seed in (2, 3):
        step(again, fresh, seed)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_other_run(tmp_path: Path) -> None:
    """A checkpoint of a run with other settings or inputs is refused, and nothing is taken from it."""

    def state(seed: int) -> TrainingState:
        built = build_model(
            ModelConfig(model="test_resnet"),
            classes=3,
            stored_size=32,
            train_statistics=((0.5,) * 3, (0.5,) * 3),
            seed=seed,
        )
        method = supervised_training(built.classifier, label_smoothing=0.0)
        return TrainingState(
            method, OptimizationConfig(ema_decay=0.9), resolve_runtime(DeviceConfig(device="cpu"))
        )

    one, other = state(0), state(1)
    one.step = 7
    was = training_identity(pack="one", processes=1)
    save_checkpoint(tmp_path / "c", one.checkpoint(identity=was, journal=0))
    found = load_checkpoint(tmp_path / "c")
    with pytest.raises(InputError, match="pack: one there, other here") as caught:
        other.restore(found, identity=training_identity(pack="other", processes=2))
    assert "processes" not in str(caught.value)
    assert other.step == 0
    assert other.restore(found, identity=was) == []
    assert other.step == 7
    for a, b in zip(one.measured.parameters(), other.measured.parameters(), strict=True):
        assert torch.equal(a, b)
