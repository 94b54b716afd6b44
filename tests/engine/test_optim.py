"""Optimizers and learning rates: who is decayed, closed forms of schedules, clipping."""

import math

import pytest
import torch
from torch import nn

from tutelage.config.schema import validate
from tutelage.config.training import OptimizationConfig
from tutelage.engine.train.optim import (
    ParameterOptimizer,
    clip_gradient,
    in_memory_order,
    set_learning_rate,
)
from tutelage.engine.train.schedules import learning_rate
from tutelage.errors import UsageError


def step(weights: ParameterOptimizer) -> None:
    weights.take_gradients()
    weights.optimizer.step()
    weights.forget_gradients()


def test_optimizer_sees_weights_as_they_lie_in_memory() -> None:
    """Views are contiguous for any layout, share the numbers, and get the gradients in the same order."""
    for layout in (torch.contiguous_format, torch.channels_last):
        module = nn.Conv2d(3, 4, (2, 5)).to(memory_format=layout)  # type: ignore[call-overload]
        made = ParameterOptimizer(module, OptimizationConfig(optimizer="sgd", momentum=0.0, lr=1.0))
        assert all(view.is_contiguous() for views in made.trained() for view in views)
        before = module.weight.detach().clone()
        gradient = torch.randn(4, 3, 2, 5)
        module.weight.grad = gradient.clone(memory_format=torch.contiguous_format)
        step(made)
        torch.testing.assert_close(module.weight.detach(), before - gradient)
        assert module.weight.grad is None
        restored = in_memory_order(module.weight.detach(), module.weight)
        assert restored.data_ptr() == module.weight.data_ptr()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_decay_leaves_norms_and_biases_out(optimizer: str) -> None:
    """Only weights with two dimensions or more are decayed; every parameter is in one group."""
    module = network()
    made = ParameterOptimizer(module, OptimizationConfig(optimizer=optimizer, weight_decay=0.1))  # type: ignore[arg-type]
    groups = made.optimizer.param_groups
    decay = {p.data_ptr(): g["weight_decay"] for g in groups for p in g["params"]}
    assert len(decay) == len(list(module.parameters()))
    for name, parameter in module.named_parameters():
        assert decay[parameter.data_ptr()] == (0.1 if name in ("0.weight", "3.weight") else 0.0)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_decay_itself(optimizer: str) -> None:
    """Without a gradient to speak of, decay shrinks weights and leaves biases where they are."""
    module = network()
    made = ParameterOptimizer(
        module,
        OptimizationConfig(optimizer=optimizer, weight_decay=0.1, lr=0.01),  # type: ignore[arg-type]
    )
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    step(made)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            assert parameter.detach().abs().sum() < before[name].abs().sum()
        else:
            assert torch.equal(parameter, before[name])


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_steps_are_torchs(optimizer: str, reference: type[torch.optim.Optimizer]) -> None:
    """Three steps are those of torch's plain optimizer; sgd has Nesterov momentum 0.9."""
    # No layer before a norm: its gradient would be rounding noise, which Adam makes large.
    ours, theirs = network()[1:], network()[1:]
    made = ParameterOptimizer(ours, OptimizationConfig(optimizer=optimizer, lr=0.05))  # type: ignore[arg-type]
    options = {"momentum": 0.9, "nesterov": True} if optimizer == "sgd" else {"weight_decay": 0.0}
    other = reference(theirs.parameters(), lr=0.05, **options)
    images = torch.randn(8, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        torch.autograd.backward(ours(images).square().sum())
        step(made)
        torch.autograd.backward(theirs(images).square().sum())
        other.step()
        other.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)  # fused against plain, three steps


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_a_first_gradient_that_comes_late(
    optimizer: str, reference: type[torch.optim.Optimizer]
) -> None:
    """Weights that a later stage reaches begin then as they would have at first; so do torch's plain ones."""
    ours, theirs = network()[1:], network()[1:]
    made = ParameterOptimizer(ours, OptimizationConfig(optimizer=optimizer, lr=0.05))  # type: ignore[arg-type]
    options = {"momentum": 0.9, "nesterov": True} if optimizer == "sgd" else {"weight_decay": 0.0}
    other = reference(theirs.parameters(), lr=0.05, **options)
    images = torch.randn(8, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    for reached in (slice(0, 1), slice(0, 1), slice(None), slice(None)):
        torch.autograd.backward((ours[reached](images) - 1).square().mean())
        step(made)
        torch.autograd.backward((theirs[reached](images) - 1).square().mean())
        other.step()
        other.zero_grad()
    for a, b, first in zip(
        ours.parameters(), theirs.parameters(), network()[1:].parameters(), strict=True
    ):
        assert not torch.equal(a, first)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_no_momentum() -> None:
    """Without momentum sgd is plain sgd."""
    made = ParameterOptimizer(
        network(), OptimizationConfig(optimizer="sgd", momentum=0.0)
    ).optimizer
    assert not made.param_groups[0]["nesterov"]


def test_frozen_parameters_are_left_out() -> None:
    """What wants no gradient is not optimized."""
    module = network()
    module[0].requires_grad_(False)
    made = ParameterOptimizer(module, OptimizationConfig()).optimizer
    assert sum(len(group["params"]) for group in made.param_groups) == 4


def rates(settings: OptimizationConfig, steps: int) -> list[float]:
    return [
        learning_rate(settings, at=step, steps_per_epoch=steps)
        for step in range(settings.epochs * steps)
    ]


def test_constant() -> None:
    """Constant is the rate as given."""
    assert rates(OptimizationConfig(epochs=2, lr=0.3), 5) == [0.3] * 10


def test_cosine() -> None:
    """Cosine starts at the rate, halves it in the middle, and nears zero along half a cosine."""
    found = rates(OptimizationConfig(epochs=4, lr=0.2, schedule="cosine"), 25)
    assert found == pytest.approx([0.1 * (1 + math.cos(math.pi * n / 100)) for n in range(100)])
    assert found[0] == 0.2
    assert found[50] == pytest.approx(0.1)
    assert 0 < found[-1] < 0.001 * 0.2


def test_step() -> None:
    """Step divides by ten at 60 and at 80 % of the steps."""
    found = rates(OptimizationConfig(epochs=10, lr=1.0, schedule="step"), 10)
    assert found == pytest.approx([1.0] * 60 + [0.1] * 20 + [0.01] * 20)


@pytest.mark.parametrize(
    ("milestones", "epochs"),
    [((0.625, 0.75, 0.875), (150, 180, 210)), ((0.3, 0.6, 0.9), (72, 144, 216))],
)
def test_milestones(milestones: tuple[float, ...], epochs: tuple[int, ...]) -> None:
    """Each milestone divides by ten from the first step of its epoch on, whatever their order."""
    for given in (milestones, milestones[::-1]):
        found = rates(OptimizationConfig(epochs=240, lr=1.0, schedule="step", milestones=given), 3)
        drops = [step for step in range(1, 720) if found[step] < found[step - 1]]
        assert drops == [3 * epoch for epoch in epochs]
        assert found[-1] == pytest.approx(1e-3)


def test_milestones_after_a_warm_up() -> None:
    """Milestones are shares of what follows the warm-up; without any, the rate stays."""
    settings = OptimizationConfig(
        epochs=10, lr=1.0, schedule="step", milestones=(0.5,), warmup_epochs=2.0
    )
    assert rates(settings, 10)[20:] == pytest.approx([1.0] * 40 + [0.1] * 40)
    assert (
        rates(OptimizationConfig(epochs=2, lr=1.0, schedule="step", milestones=()), 5) == [1.0] * 10
    )


@pytest.mark.parametrize("milestone", [0.0, 1.0, -0.1, 150.0, math.nan])
def test_milestones_are_shares(milestone: float) -> None:
    """A milestone outside of training, such as an epoch, is refused."""
    with pytest.raises(UsageError, match="milestones is out of range"):
        validate(OptimizationConfig(milestones=(0.5, milestone)))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
@pytest.mark.parametrize("warmup", [0.5, 1.0, 1.25, 9.0])
def test_warmup(schedule: str, warmup: float) -> None:
    """Warm-up rises in equal steps from just above zero; its last step has at most the full rate."""
    settings = OptimizationConfig(epochs=4, lr=0.4, schedule=schedule, warmup_epochs=warmup)  # type: ignore[arg-type]
    found = rates(settings, 10)
    length = min(math.ceil(warmup * 10), 40)
    rise = [0.4 * (n + 1) / math.ceil(warmup * 10) for n in range(length)]
    assert found[:length] == pytest.approx(rise)
    assert max(found) <= 0.4 * (1 + 1e-12)
    if length < 40:
        # From 4 % of the rest on at most, by up to half a step of a warm-up that ends within a step.
        assert found[length] == pytest.approx(0.4, rel=0.01)
    assert all(rate > 0 for rate in found)


def test_set_learning_rate() -> None:
    """Every group gets the rate."""
    made = ParameterOptimizer(network(), OptimizationConfig(weight_decay=0.1)).optimizer
    assert len(made.param_groups) == 2
    set_learning_rate(made, 0.125)
    assert [group["lr"] for group in made.param_groups] == [0.125, 0.125]


def test_clip() -> None:
    """A long gradient is shortened to the norm, direction kept; a short one and none are left."""
    module = nn.Linear(3, 2)
    for most, expected in ((1.0, 1.0), (100.0, math.sqrt(8 * 4)), (None, math.sqrt(8 * 4))):
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, 2.0)
        clip_gradient(module.parameters(), most)
        gradient = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
        assert float(gradient.norm()) == pytest.approx(expected, rel=1e-5)
        assert float(gradient.std()) == pytest.approx(0.0, abs=1e-6)
