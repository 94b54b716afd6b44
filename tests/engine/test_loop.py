"""The loop: averages, accumulation, what is logged, divergence, and what a finished run leaves."""

import contextlib
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tutelage.config.job import TrainConfig
from tutelage.config.training import DeviceConfig
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.journal import EventLog, read_events
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train.context import FitArguments
from tutelage.engine.train.loop import fit
from tutelage.engine.train.state import TrainingState
from tutelage.errors import DivergedError
from tutelage.evaluation.metrics import Metrics, scores_of
from tutelage.methods.offline import supervised_training
from tutelage.models.build import build_model
from tutelage.models.weights import fingerprint_of
from tutelage.teachers.teacher import no_teacher

CPU = torch.device("cpu")


def plain_network() -> nn.Module:
    """A network without BatchNorm, so that the way images are batched cannot matter to it."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 10)
    )


def normed_network() -> nn.Module:
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(8)
    return nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), norm, nn.Flatten(), nn.Linear(128, 10))


def trained(
    settings: TrainConfig,
    pack: Pack,
    folder: Path,
    network: nn.Module,
    each_step: Callable[[TrainingState], None] = lambda _state: None,
) -> TrainingState:
    """Fit a module of our own on the small pack, telling `each_step` after every optimizer step."""
    folder.mkdir()
    built = build_model(
        settings,
        classes=10,
        stored_size=32,
        train_statistics=(pack.mean, pack.std),
        seed=0,
        network=network,
    )
    method = supervised_training(built.classifier, label_smoothing=settings.label_smoothing)
    runtime = resolve_runtime(DeviceConfig(device="cpu", precision="fp32"))
    state = TrainingState(method, settings, runtime)
    method.after_step = lambda _progress, _taken: each_step(state)  # type: ignore[method-assign]

    def validate(_state: TrainingState) -> Metrics:
        return scores_of(np.eye(10)[[0, 1]], [0, 1], pack.classes)

    with contextlib.closing(EventLog(folder / "journal.jsonl")) as journal:
        loader = training_loader(
            pack, batch_size=settings.batch_size, views=settings, seed=0, device=CPU
        )
        context = RunContext("run", folder, folder, Console(quiet=True), StopRequest())
        fit(state, FitArguments(context, settings, loader, no_teacher, validate, {}, {}, journal))
    return state


def epochs(journal: Path) -> list[dict[str, Any]]:
    return [event for event in read_events(journal) if event["event"] == "epoch"]


def close(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize(("whole", "part", "accumulate"), [(50, 25, 2), (66, 22, 3), (64, 32, 2)])
def test_accumulation(
    tmp_path: Path,
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    whole: int,
    part: int,
    accumulate: int,
) -> None:
    """Several small batches make the step of one large batch, a short last one included."""
    plain = single(optimizer="sgd", lr=0.05, batch_size=whole)
    parts = single(optimizer="sgd", lr=0.05, batch_size=part, grad_accum_steps=accumulate)
    one = trained(plain, small_pack, tmp_path / "a", plain_network())
    two = trained(parts, small_pack, tmp_path / "b", plain_network())
    assert one.step == two.step
    assert close(one.method, two.method)
    assert not close(one.method, supervised_training(plain_network(), label_smoothing=0.0))
    losses = [
        [event["train"]["loss"] for event in epochs(tmp_path / name / "journal.jsonl")]
        for name in "ab"
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_moving_average(
    tmp_path: Path, small_pack: Pack, single: Callable[..., TrainConfig]
) -> None:
    """What is measured is the moving average of weights and of the norms' running statistics."""
    decay, kept = 0.8, []  # type: ignore[var-annotated]

    def keep(state: TrainingState) -> None:
        student = state.method.student.state_dict()
        kept.append({name: tensor.double().clone() for name, tensor in student.items()})

    state = trained(
        single(ema_decay=decay, lr=0.01),
        small_pack,
        tmp_path / "a",
        normed_network(),
        each_step=keep,
    )
    assert len(kept) == 8
    average = kept[0]
    for weights in kept[1:]:
        for name, value in weights.items():
            average[name] = decay * average[name] + (1 - decay) * value
    found = state.measured.state_dict()
    assert found.keys() == average.keys()
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), average[name], rtol=1e-5, atol=1e-6)
    weight = "network.0.weight"
    assert not torch.equal(found[weight], state.method.student.state_dict()[weight])


def test_journal(tmp_path: Path, small_pack: Pack, single: Callable[..., TrainConfig]) -> None:
    """Each epoch leaves its number, its last learning rate, means, and validation; nothing of time."""
    settings = single(epochs=3, schedule="cosine", lr=0.1)
    trained(settings, small_pack, tmp_path / "a", plain_network())
    events = epochs(tmp_path / "a" / "journal.jsonl")
    assert [event["epoch"] for event in events] == [1, 2, 3]
    expected = [0.05 * (1 + math.cos(math.pi * step / 12)) for step in (3, 7, 11)]
    assert [event["lr"] for event in events] == pytest.approx(expected)
    assert all(event["train"]["images"] == 200 for event in events)
    assert all(event["val"]["accuracy"] == 1.0 for event in events)
    assert set(events[0]) == {"event", "epoch", "lr", "train", "val"}
    assert events[2]["train"]["loss"] < events[0]["train"]["loss"]


def test_clip(tmp_path: Path, small_pack: Pack, single: Callable[..., TrainConfig]) -> None:
    """With a clipped gradient a step of plain sgd moves the weights by at most rate times norm."""
    settings = single(epochs=1, optimizer="sgd", momentum=0.0, lr=0.5, clip_grad=0.01)
    places: list[Tensor] = [nn.utils.parameters_to_vector(plain_network().parameters()).detach()]

    def note(state: TrainingState) -> None:
        places.append(nn.utils.parameters_to_vector(state.method.parameters()).detach().clone())

    trained(settings, small_pack, tmp_path / "a", plain_network(), each_step=note)
    moves = [float((b - a).norm()) for a, b in itertools.pairwise(places)]
    assert len(moves) == 4
    assert all(move == pytest.approx(0.005, rel=1e-2) for move in moves)


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize(
    ("optimizer", "rate", "make"),
    [
        ("adam", 1e30, plain_network),
        ("sgd", 1e38, plain_network),
        ("sgd", 1e6, None),
        ("sgd", 1e3, None),  # every loss is finite, and only validation shows what came of it
    ],
)
def test_diverged(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    optimizer: str,
    rate: float,
    make: Callable[[], nn.Module] | None,
    epochs: int,
) -> None:
    """A rate far too high ends in an error of its own, with exit code 4 and what to try."""
    with pytest.raises(DivergedError, match="lower --lr") as caught:
        train_one(
            single(epochs=epochs, lr=rate, optimizer=optimizer),
            small_pack,
            place(),
            network=(lambda _classes: make()) if make else None,
        )
    assert caught.value.exit_code == 4
    assert not (place().folder / "scores.json").exists()


def test_diverged_in_the_last_step(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network whose last step broke it is divergence too, though no loss has shown it yet."""
    real = torch.optim.Adam.step
    steps = []

    def step(self: torch.optim.Adam, closure: Any = None) -> Any:
        steps.append(1)
        result = real(self, closure)
        if len(steps) == 4:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(float("nan"))
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    with pytest.raises(DivergedError, match="lower --lr"):
        train_one(single(epochs=1), small_pack, place())
    assert len(steps) == 4


@pytest.fixture
def no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: it would take longer than the training."""
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


@pytest.mark.usefixtures("no_latency")
def test_run_folder(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    teacher_folder: Path,
) -> None:
    """A taught run leaves its files, keeps its teacher's bytes, and is returned when asked for again."""
    before = {path.name: path.read_bytes() for path in teacher_folder.iterdir()}
    settings = single(teacher=(str(teacher_folder),), role="student", epochs=1)
    folder = train_one(settings, small_pack, place())
    assert {path.name: path.read_bytes() for path in teacher_folder.iterdir()} == before
    names = {path.name for path in folder.iterdir()}
    expected = {"run.json", "config.toml", "environment.json", "journal.jsonl", "timings.json"}
    expected |= {"scores.json", "predictions", "model", "model-best"}
    assert names == expected
    events = read_events(folder / "journal.jsonl")
    assert [event["event"] for event in events] == ["begin", "gradients", "epoch", "end"]
    asked = events[0]["teacher"]
    assert (asked["name"], asked["number"]) == ("views", 1)
    assert asked["why"] == "every epoch shows the same images"
    assert set(events[1]["norms"]) == {"label", "kd"}
    terms = events[2]["train"]
    total = 0.3 * terms["terms"]["label"] + 0.7 * terms["terms"]["kd"]
    assert terms["loss"] == pytest.approx(total, rel=1e-5)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert train_one(settings, small_pack, place()) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["last"]["test"] is None  # the test images have no labels
    assert scores["last"]["val"]["images"] == 80


@pytest.mark.usefixtures("no_latency")
def test_no_epochs(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    make_network: Callable[..., Any],
) -> None:
    """Zero epochs measure and save the network as it began."""
    from tutelage.models.model_folder import load_model

    folder = train_one(single(epochs=0), small_pack, place())
    saved = load_model(folder / "model").classifier
    assert fingerprint_of(saved) == fingerprint_of(make_network().classifier)
    assert json.loads((folder / "scores.json").read_text())["best"]["epoch"] == 0
