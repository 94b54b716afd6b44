"""The optimizer: views of the parameters as they lie in memory, one optimizer for all networks."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tutelage.config.training import OptimizationConfig


class ParameterOptimizer:
    """The trained parameters and their optimizer (Adam, AdamW or SGD); norms and biases are not decayed.

    One optimizer serves several networks as well as one for each would: all three work on each weight by
    itself, and leave those without a gradient alone. The gradients of `learners` are clipped apart.

    The optimizer is given views of the parameters whose dimensions stand as they lie in memory: torch's
    fused step copies a channels-last weight, its gradient and its moments there and back, and with
    small batches that was a quarter of the step.
    """

    def __init__(
        self, method: nn.Module, settings: OptimizationConfig, learners: Sequence[nn.Module] = ()
    ) -> None:
        self.parameters = [p for p in method.parameters() if p.requires_grad]
        self._views = [nn.Parameter(in_memory_order(p.detach(), p)) for p in self.parameters]
        view_of = dict(zip(map(id, self.parameters), self._views, strict=True))
        self._apart = [
            [view_of[id(p)] for p in learner.parameters() if id(p) in view_of]
            for learner in learners or [method]
        ]
        decayed = [view for view in self._views if view.ndim > 1]
        plain = [view for view in self._views if view.ndim <= 1]
        groups = [
            {"params": group, "weight_decay": decay}
            for group, decay in ((decayed, settings.weight_decay), (plain, 0.0))
            if group
        ]
        self.optimizer = _optimizer(groups, settings)

    def take_gradients(self) -> None:
        """Move the parameters' gradients to the optimizer."""
        for parameter, view in zip(self.parameters, self._views, strict=True):
            if parameter.grad is not None:
                # A fused step pairs numbers by their place in memory; backward nearly always has them there.
                view.grad = in_memory_order(parameter.grad, parameter).contiguous()
                parameter.grad = None

    def trained(self) -> list[list[nn.Parameter]]:
        """Return what the optimizer changes, by learner: views of the parameters with their gradients."""
        return self._apart

    def forget_gradients(self) -> None:
        """Drop the gradients after a step."""
        self.optimizer.zero_grad(set_to_none=True)


def in_memory_order(tensor: Tensor, like: Tensor) -> Tensor:
    """View `tensor` with its dimensions in the order in which `like` lies in memory.

    >>> weight = torch.empty(8, 4, 3, 3).to(memory_format=torch.channels_last)
    >>> list(in_memory_order(weight, weight).shape)
    [8, 3, 3, 4]
    """
    strides = like.stride()
    return tensor.permute(sorted(range(like.ndim), key=lambda axis: -strides[axis]))


def _optimizer(groups: list[dict[str, Any]], settings: OptimizationConfig) -> Optimizer:
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        made = torch.optim.SGD(
            groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov, fused=True
        )
        # Torch's fused step fails where some weights have no momentum yet and others do, as when a stage of a
        # term reaches them later. From a momentum of 0 their first step is the one they would have had.
        for view in [view for group in groups for view in group["params"]] if nesterov else []:
            made.state[view]["momentum_buffer"] = torch.zeros_like(view)
        return made
    cls = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return cls(groups, lr=settings.lr, fused=True)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradient(parameters: Iterable[nn.Parameter], most: float | None) -> None:
    """Scale the gradient down to a norm of at most `most`; None: do nothing."""
    if most is not None:
        nn.utils.clip_grad_norm_(parameters, most)
