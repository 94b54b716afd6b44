"""A step whose loss or gradient is not finite changes nothing, and nothing waits to find out."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.utils._python_dispatch import TorchDispatchMode

from support.nonfinite_network import layers
from tutelage.config.training import OptimizationConfig
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.train.nonfinite_guard import NONFINITE, OVERFLOW, NonfiniteGuard
from tutelage.engine.train.schedules import learning_rate
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.methods.offline import supervised_training
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.types import NO_TEACHER_OUTPUT, Batch, Progress

STEPS = 6
CPU = torch.device("cpu")


class Root(nn.Module):
    """Logits plus the root of a weighted image: finite for a black one, with a gradient that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.head = nn.Linear(3, 3)

    def forward(self, batch_images: Tensor) -> Tensor:
        colours = batch_images.mean((2, 3))
        return self.head(colours) + torch.sqrt(colours * self.gain)


def state_of(
    network: nn.Module, settings: OptimizationConfig, *, half: torch.dtype | None = None
) -> TrainingState:
    classifier = Classifier(network, Preprocess(size=8, mean=(0.0,) * 3, std=(1.0,) * 3))
    method = supervised_training(classifier, label_smoothing=0.0).train()
    return TrainingState(method, settings, Runtime(CPU, half, channels_last=False))


def batch_of(step: int, *, bad: bool) -> Batch:
    generator = torch.Generator().manual_seed(step)
    images = torch.randint(1, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=generator)
    if bad:
        images[3] = 0
    ids = torch.arange(5) + 10 * step
    return Batch(images, ids % 3, ids, 0)


def train(
    state: TrainingState, settings: OptimizationConfig, bad: Sequence[int], *, left_out: bool
) -> None:
    """Take steps of `accumulate` batches; the second batch of a bad one is bad."""
    for step in range(STEPS):
        if left_out and step in bad:
            state.step += 1
            continue
        rate = learning_rate(settings, at=step, steps_per_epoch=STEPS)
        for part in range(settings.grad_accum_steps):
            last = part + 1 == settings.grad_accum_steps
            spoilt = step in bad and part == min(1, settings.grad_accum_steps - 1)
            batch = batch_of(step * settings.grad_accum_steps + part, bad=spoilt)
            train_step(
                state,
                batch,
                NO_TEACHER_OUTPUT,
                Progress(0, step, step / STEPS),
                rate=rate,
                clip=settings.clip_grad,
                share=1 / settings.grad_accum_steps,
                last=last,
            )


def kept(state: TrainingState) -> dict[str, Tensor]:
    checkpoint = state.checkpoint(identity={}, journal=0)
    return {name: t for name, t in checkpoint.tensors.items() if not name.startswith("random")}


SGD = {"optimizer": "sgd", "momentum": 0.9}


@pytest.mark.parametrize(
    ("settings", "half"),
    [
        ({**SGD, "weight_decay": 0.1}, None),
        ({**SGD, "ema_decay": 0.9, "grad_accum_steps": 3, "schedule": "cosine"}, None),
        ({"optimizer": "sgd", "momentum": 0.0, "clip_grad": 0.1}, torch.bfloat16),
        ({"optimizer": "adam", "ema_decay": 0.5, "schedule": "cosine"}, torch.bfloat16),
        ({"optimizer": "adam", "grad_accum_steps": 3, "clip_grad": 0.1}, None),
        ({"optimizer": "adamw", "weight_decay": 0.1, "ema_decay": 0.9, "warmup_epochs": 0.5}, None),
        ({"optimizer": "adam", "ema_decay": 0.5, "grad_accum_steps": 3}, torch.float16),
    ],
)
@pytest.mark.parametrize("network", [layers, Root], ids=["loss", "gradient"])
def test_as_if_left_out(
    settings: dict[str, Any], half: torch.dtype | None, network: Callable[[], nn.Module]
) -> None:
    """Weights, moments, averages and norms are to the bit those of a run without these steps."""
    training = OptimizationConfig(epochs=1, **{"lr": 0.01, **settings})
    torch.manual_seed(1)
    one = state_of(network(), training, half=half)
    torch.manual_seed(1)
    two = state_of(network(), training, half=half)
    if (
        half == torch.float16
    ):  # whose scale goes down with each step that is skipped: here by nothing
        for state in (one, two):
            state.scaler = GradScaler("cpu", init_scale=1.0, backoff_factor=1 - 1e-9)
    bad = (0, 3, 4)
    train(one, training, bad, left_out=False)
    train(two, training, bad, left_out=True)
    assert one.step == two.step == STEPS
    found, expected = kept(one), kept(two)
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []
    began = kept(state_of(network(), training))
    assert not all(torch.equal(found[name], began[name]) for name in began)
    marks = [step.mark for step in one.guard.read()]
    assert marks == [NONFINITE if step in bad else 0 for step in range(STEPS)]


def test_of_a_loss_that_is_finite() -> None:
    """The gradient alone is not: the loss counts among the others."""
    training = OptimizationConfig(epochs=1)
    state = state_of(Root(), training)
    train_step(
        state, batch_of(0, bad=True), NO_TEACHER_OUTPUT, Progress(0, 0, 0), rate=0.1, clip=None
    )
    assert math.isfinite(state.sums.read()["loss"])
    assert state.sums.state()[0] == 0  # `train_step` sums nothing
    assert [step.mark for step in state.guard.read()] == [NONFINITE]


def test_fp16_finds_its_scale() -> None:
    """A scale that is too high for the gradients is lowered, changes nothing, and is no divergence."""
    training = OptimizationConfig(epochs=1, ema_decay=0.5)
    state = state_of(layers(), training, half=torch.float16)
    state.scaler = GradScaler("cpu", init_scale=2.0**127)
    began = kept(state)
    for step, bad in enumerate((False, True)):
        batch = batch_of(step, bad=bad)
        train_step(state, batch, NO_TEACHER_OUTPUT, Progress(0, step, 0), rate=0.1, clip=None)
    assert [step.mark for step in state.guard.read()] == [OVERFLOW, NONFINITE]
    ended = kept(state)
    assert all(torch.equal(ended[name], tensor) for name, tensor in began.items())
    assert state.scaler.get_scale() == 2.0**125


class _Waiting(TorchDispatchMode):
    found: list[str]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name in {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select"}:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_nothing_waits(optimizer: Any) -> None:
    """No number of a step is fetched from the device until it is read; reading fetches."""
    training = OptimizationConfig(epochs=1, optimizer=optimizer, ema_decay=0.5, clip_grad=1.0)
    state = state_of(layers(), training)
    watching = _Waiting()
    watching.found = []
    with watching:
        for step in range(2):
            batch = batch_of(step, bad=step == 1)
            train_step(state, batch, NO_TEACHER_OUTPUT, Progress(0, step, 0), rate=0.1, clip=1.0)
    assert watching.found == []
    assert [step.mark for step in state.guard.read()] == [0, NONFINITE]


def test_interval() -> None:
    """A device is asked every so many steps; what was found by then is told with its images, once."""
    training = OptimizationConfig(epochs=1)
    state = state_of(layers(), training)
    state.guard = NonfiniteGuard(state.method, CPU, every=3)
    full = []
    for step in range(3):
        batch = batch_of(step, bad=step == 1)
        train_step(state, batch, NO_TEACHER_OUTPUT, Progress(4, step, 0), rate=0.1, clip=None)
        full.append(state.guard.full)
    assert full == [False, False, True]
    read = state.guard.read()
    assert [(step.epoch, step.step, step.mark) for step in read] == [
        (4, 0, 0),
        (4, 1, 2),
        (4, 2, 0),
    ]
    assert [step.ids for step in read] == [(), (10, 11, 12, 13, 14), ()]
    assert state.guard.read() == []
    assert not state.guard.full
