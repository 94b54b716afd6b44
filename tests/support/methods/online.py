"""What the tests of online methods share: small real networks, batches, training by the engine's steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import tutelage.models.cifar.names  # noqa: F401  so that timm knows them
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.objective import LossConfig
from tutelage.config.training import OptimizationConfig
from tutelage.distributed import ALONE, World
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.sync_batchnorm import sync_batchnorm
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.losses.term import Term
from tutelage.methods.factory import TrainingFacts
from tutelage.methods.method import Method
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.types import NO_TEACHER_OUTPUT, Batch, Progress

CLASSES, IMAGES, STEPS = 5, 24, 3
CPU = torch.device("cpu")
SGD = OptimizationConfig(optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=0.01)


def network(seed: int, name: str = "cifar_resnet8") -> Classifier:
    """A random network."""
    torch.manual_seed(seed)
    made = timm.create_model(name, num_classes=CLASSES)
    return Classifier(made, Preprocess(size=16, mean=(0.5,) * 3, std=(0.25,) * 3)).train()


def batches(count: int = STEPS, *, size: int = 7) -> list[Batch]:
    """Images of blocks, whose labels some of them lack."""
    generator = torch.Generator().manual_seed(5)
    made = []
    for number in range(count):
        drawn = torch.randint(0, 256, (size, 3, 4, 4), generator=generator, dtype=torch.uint8)
        pixels = drawn.repeat_interleave(4, 2).repeat_interleave(4, 3)
        labels = torch.randint(0, CLASSES, (size,), generator=generator)
        labels[-1] = -1
        ids = torch.randperm(IMAGES, generator=generator)[:size]
        made.append(Batch(pixels, labels, ids, number))
    return made


def training_facts(**changes: Any) -> TrainingFacts:
    """One epoch about the images above."""
    return TrainingFacts(1, CLASSES, torch.arange(IMAGES), 16)._replace(**changes)


def published(temperature: float = 1.0) -> LossConfig:
    """Label and KD, each of weight 1."""
    return LossConfig(
        label=LabelConfig(weight=1.0), kd=KDConfig(weight=1.0, temperature=temperature)
    )


def teaching(method: Any, terms: LossConfig | None = None, **changes: Any) -> MethodConfig:
    """Settings of a method."""
    return MethodConfig(method=method, losses=terms or published(), **changes)


def progress_at(step: int) -> Progress:
    """Where training stands before a step."""
    return Progress(epoch=0, step=step, fraction=step / STEPS)


def train(
    method: Method,
    training: OptimizationConfig = SGD,
    shown: Sequence[Batch] | None = None,
    world: World = ALONE,
) -> list[dict[str, Tensor]]:
    """Train for a step on each batch, as a run does; the raw terms of each step."""
    runtime = Runtime(CPU, None, channels_last=False)
    if world.size > 1:
        for part in [m for m in method.modules() if isinstance(m, Classifier)]:
            sync_batchnorm(part, CPU, world)
        for term in [m for m in method.modules() if isinstance(m, Term) and not m.across_batch]:
            sync_batchnorm(term, CPU, world)
    state = TrainingState(method.train(), training, runtime, world)
    found = []
    for step, batch in enumerate(batches() if shown is None else shown):
        outcome, _ = train_step(
            state,
            batch,
            NO_TEACHER_OUTPUT,
            progress_at(step),
            rate=training.lr,
            clip=training.clip_grad,
        )
        found.append({name: value.detach().clone() for name, value in outcome.terms.items()})
        assert not outcome.logits.requires_grad
    return found


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether weights and buffers are equal to the byte."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)


def assert_near(one: nn.Module, other: nn.Module, *, most: float = 1e-9) -> None:
    """Weights and buffers are equal to rounding in float64."""
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=most, atol=most, msg=name)


def optimiser(module: nn.Module, training: OptimizationConfig = SGD) -> torch.optim.Optimizer:
    """A plain one for one network: norms and biases are not decayed."""
    weights = list(module.parameters())
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if training.optimizer == "adam":
        return torch.optim.Adam(groups, lr=training.lr)
    return torch.optim.SGD(groups, lr=training.lr, momentum=training.momentum, nesterov=True)


def reached(value: Tensor, modules: Sequence[nn.Module]) -> list[bool]:
    """For each module, whether the gradient of a value reaches any of its parameters."""
    weights = [[p for p in module.parameters() if p.requires_grad] for module in modules]
    flat = [p for some in weights for p in some]
    found = torch.autograd.grad(value, flat, retain_graph=True, allow_unused=True)
    hit = {id(p) for p, gradient in zip(flat, found, strict=True) if gradient is not None}
    return [any(id(p) in hit for p in some) for some in weights]


class _Waiting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name in {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select"}:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def watched() -> Iterator[list[str]]:
    """The operations in the block that would wait for a device."""
    with _Waiting() as mode:
        yield mode.found


def waits(method: Method) -> list[str]:
    """What a forward and a backward pass of each phase wait for."""
    (batch,) = batches(1)
    with watched() as found:
        for phase in range(method.phases):
            outcome = method(batch, NO_TEACHER_OUTPUT, progress_at(0), phase=phase)
            torch.autograd.backward(method.total(outcome, progress_at(0)))
    return found
