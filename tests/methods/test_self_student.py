"""What holds for every way to teach oneself: resume, processes, whole runs, plain networks."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tutelage
from support import two_processes
from support.methods.self_student import METHODS, at, batch_of, made, network, training_facts
from support.methods.two_ranks_self import trained
from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.schema import build
from tutelage.config.toml import read_toml
from tutelage.config.training import OptimizationConfig
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE
from tutelage.engine.checkpoint.format import load_checkpoint, save_checkpoint
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.losses.term import Needs
from tutelage.methods.factory import build_method
from tutelage.models.build import BuiltModel
from tutelage.types import NO_TEACHER_OUTPUT, TeacherOutput

RUNTIME = Runtime(torch.device("cpu"), None, channels_last=False)
RECIPES = Path(tutelage.__file__).parent / "recipes" / "methods"


def state_of(name: str, seed: int) -> TrainingState:
    """A method in training, in fp32, as its recipe has it."""
    settings = build(DistillConfig, read_toml(RECIPES / f"{name}.toml"), where=name)
    method = build_method(settings, network(seed=seed), (), training_facts()).train()
    return TrainingState(method, OptimizationConfig(lr=0.01, optimizer="adamw"), RUNTIME)


def go_on(state: TrainingState, *, until: int) -> None:
    """Steps of three an epoch, from where the state stands."""
    while state.step < until:
        epoch, number = divmod(state.step, 3)
        progress = at(epoch, step=state.step)
        train_step(
            state, batch_of(first=6 * number), NO_TEACHER_OUTPUT, progress, rate=0.01, clip=1.0
        )


@pytest.mark.parametrize("name", METHODS)
def test_exact_resume(name: str, tmp_path: Path) -> None:
    """Saved in the middle of the second epoch and continued by a method of other weights: the same bytes."""
    whole = state_of(name, seed=0)
    go_on(whole, until=4)
    save_checkpoint(tmp_path / "checkpoint", whole.checkpoint(identity={}, journal=0))
    go_on(whole, until=7)
    again = state_of(name, seed=5)
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    again.restore(checkpoint, identity={})
    go_on(again, until=7)
    expected, found = whole.method.state_dict(), again.method.state_dict()
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []


@pytest.mark.parametrize("name", METHODS)
def test_no_word_from_outside(name: str) -> None:
    """Nobody is asked, and what a teacher from outside would say changes nothing."""
    totals = []
    for signal in (NO_TEACHER_OUTPUT, TeacherOutput(torch.randn(6, 5), {})):
        method = made(name)
        outcome = method(batch_of(), signal, at(0))
        assert method.needs == Needs()
        totals.append(method.total(outcome, at(0)))
    assert torch.equal(*totals)


# ---------------------------------------------------------------------- processes


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes end with, by rank and method; one start for all methods."""
    return two_processes.by_two("support.methods.two_ranks_self", tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", METHODS)
def test_two_processes(by_two: list[dict[str, dict[str, Tensor]]], name: str) -> None:
    """Terms of each step, weights, norms, the past and the average are those of one process, to 1e-9."""
    expected = trained(name, ALONE)
    for found in (by_two[0][name], by_two[1][name]):
        assert list(found) == list(expected)
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-9, atol=1e-9, msg=key)


# ---------------------------------------------------------------------- whole runs


@pytest.fixture
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: it would take longer than the training."""
    for module in ("tutelage.engine.finish", "tutelage.engine.measure"):
        monkeypatch.setattr(f"{module}.latency", lambda *_a, **_o: [], raising=False)


def settings_of(name: str, single: Callable[..., TrainConfig]) -> TrainConfig:
    """A run of two epochs by the recipe of a method."""
    job = build(DistillConfig, read_toml(RECIPES / f"{name}.toml"), where=name)
    return dataclasses.replace(
        single(role="student", flip=True),
        method=job.method,
        methods=job.methods,
        alpha=job.alpha,
        losses=job.losses,
    )


@pytest.mark.usefixtures("_no_latency")
@pytest.mark.parametrize("name", METHODS)
def test_a_whole_run(
    name: str,
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    make_network: Callable[..., BuiltModel],
) -> None:
    """Without a teacher: the run ends, its terms are told, and its model loads as the plain network it is."""
    folder = train_one(settings_of(name, single), small_pack, place())
    model = tutelage.load(folder)
    found = {n: p.shape for n, p in model.classifier.network.named_parameters()}
    plain = make_network("test_resnet").classifier.network
    assert found == {n: p.shape for n, p in plain.named_parameters()}
    epochs = [e for e in read_events(folder / "journal.jsonl") if e["event"] == "epoch"]
    assert len(epochs) == 2
    shares = epochs[-1]["train"]["shares"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert len(shares) == {"byot": 10}.get(name, 2)
    assert all(share > 0 for share in shares.values())


@pytest.mark.usefixtures("_no_latency")
def test_the_past_at_alpha_0_is_cross_entropy(
    small_pack: Pack, single: Callable[..., TrainConfig], place: Callable[..., RunContext]
) -> None:
    """Weights and predictions are those of a control, byte for byte."""
    alone = train_one(single(), small_pack, place("alone"))
    taught = single(role="student", method="ps-kd", alpha=0.0)
    folder = train_one(taught, small_pack, place("ps-kd"))
    for name in ("model/model.safetensors", "predictions/val.safetensors"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.usefixtures("_no_latency")
def test_by_the_command_line(sample_folder: Path, tmp_path: Path) -> None:
    """`tutelage distill` needs no --teacher for them; the network that is saved can be loaded."""
    from tutelage.__main__ import main

    out = tmp_path / "out"
    words = ["distill", str(sample_folder), "--out", str(out), "--method", "cs-kd"]
    words += ["--data.image-size", "32", "--model", "cifar_resnet8", "--weights", "none"]
    words += ["--epochs", "1", "--batch-size", "100", "--device", "cpu", "--precision", "fp32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tutelage", *words])
        assert main() == 0
    assert len(tutelage.load(out).classes) == 10


@pytest.mark.parametrize("name", ["ps-kd", "cs-kd"])
def test_mixtures_are_refused_before_any_waiting(
    name: str, tmp_path: Path, single: Callable[..., TrainConfig]
) -> None:
    """Before the images are even looked for."""
    settings = single(role="student", method=name, mixup=0.4)
    with pytest.raises(tutelage.UsageError, match="views of two images"):
        tutelage.distill(tmp_path / "no such folder", settings, out=tmp_path / "out")
    student = dataclasses.replace(DistillConfig().student, mixup=0.4)
    job = dataclasses.replace(DistillConfig(), method=name, student=student)  # type: ignore[arg-type]
    with pytest.raises(tutelage.UsageError, match="views of two images"):
        tutelage.run(tmp_path / "no such folder", job, out=tmp_path / "out")
    assert AugmentationConfig(mixup=0.4).mixing
    assert not (tmp_path / "out").exists()
