"""Optimiser and learning rate. The rate is a pure function of the step, so a resume needs no state."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from tutelage.engine.settings import Training


def make_optimizer(method: nn.Module, settings: Training) -> Optimizer:
    """Adam, AdamW or SGD over everything trainable; norms and biases are not decayed."""
    trainable = [p for p in method.parameters() if p.requires_grad]
    decayed = [p for p in trainable if p.ndim > 1]
    plain = [p for p in trainable if p.ndim <= 1]
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, settings.weight_decay), (plain, 0.0))
        if group
    ]
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(
            groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov, fused=True
        )
    cls = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return cls(groups, lr=settings.lr, fused=True)


def learning_rate(settings: Training, *, step: int, steps_per_epoch: int) -> float:
    """The rate of optimiser step `step` (from 0): linear warm-up, then constant, cosine or steps."""
    total, warmup = settings.epochs * steps_per_epoch, settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.lr * (step + 1) / math.ceil(warmup)
    done = (step - warmup) / max(1, total - warmup)
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * done))
    if settings.schedule == "step":
        return settings.lr * 0.1 ** sum(done >= at for at in (0.6, 0.8))
    return settings.lr


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group the rate of the coming step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradient(parameters: Iterable[nn.Parameter], most: float | None) -> None:
    """Scale the gradient down to a norm of at most `most`; nothing where it is None."""
    if most is not None:
        nn.utils.clip_grad_norm_(parameters, most)
