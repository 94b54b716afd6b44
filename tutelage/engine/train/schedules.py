"""Learning-rate schedules after the warm-up: pure functions of how much of training is done.

A new schedule is a function here, a line in `SCHEDULES` and a word in `OptimizationConfig.schedule`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

from tutelage.config.training import OptimizationConfig

Schedule = Callable[[float, OptimizationConfig], float]
"""(share of training after the warm-up that is done, in [0, 1); the settings) -> factor of `lr`."""


def constant(_done: float, _settings: OptimizationConfig) -> float:
    """Keep the rate."""
    return 1.0


def cosine(done: float, _settings: OptimizationConfig) -> float:
    """Lower the rate along half a cosine to zero (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def step(done: float, settings: OptimizationConfig) -> float:
    """Divide the rate by ten at each of `milestones`."""
    return float(0.1 ** sum(done >= at for at in settings.milestones))


def linear(done: float, _settings: OptimizationConfig) -> float:
    """Lower the rate along a straight line to zero."""
    return 1 - done


SCHEDULES: Mapping[Literal["constant", "cosine", "step", "linear"], Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
    "linear": linear,
}


def learning_rate(settings: OptimizationConfig, *, at: int, steps_per_epoch: int) -> float:
    """Compute the rate of optimizer step `at` (from 0): a linear warm-up, then the schedule.

    The rate is a function of the step alone, so a resume needs no state.
    """
    total, warmup = settings.epochs * steps_per_epoch, settings.warmup_epochs * steps_per_epoch
    if at < warmup:
        return settings.lr * (at + 1) / math.ceil(warmup)
    done = (at - warmup) / max(1, total - warmup)
    return settings.lr * SCHEDULES[settings.schedule](done, settings)
