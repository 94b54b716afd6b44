"""An exponential moving average of a network's weights and running statistics."""

from collections.abc import Iterable, Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn


class ModelEMA(nn.Module):
    """A copy of a network (`module`) that follows it; the first step that was not skipped initialises it."""

    n_averaged: Tensor
    """Number of steps in the average, on the device."""

    def __init__(self, network: nn.Module, decay: float, device: torch.device) -> None:
        super().__init__()
        self.module = deepcopy(network)
        self.decay = decay
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.int64, device=device))

    @torch.no_grad()
    def follow(self, network: nn.Module, taken: Tensor) -> None:
        """Update the average: average <- decay average + (1 - decay) network, if the step was taken.

        Args:
            network: after the step.
            taken: 1 or 0, on the device: whether the step was taken.
        """
        share = taken * torch.where(self.n_averaged == 0, 1.0, 1.0 - self.decay)
        pairs = list(zip(_state(self.module), _state(network), strict=True))
        numbers = [(mean, now) for mean, now in pairs if mean.is_floating_point()]
        ema_update((mean for mean, _ in numbers), (now for _, now in numbers), share)
        for count, now in pairs:
            if not count.is_floating_point():
                count.copy_(now)  # a skipped step has changed no count either
        self.n_averaged += taken.to(torch.int64)


def _state(network: nn.Module) -> Iterator[Tensor]:
    yield from (parameter.detach() for parameter in network.parameters())
    yield from network.buffers()


@torch.no_grad()
def ema_update(means: Iterable[Tensor], now: Iterable[Tensor], share: Tensor) -> None:
    """Update tensors in place: mean <- mean + share (now - mean), one for one; a share of 0 changes nothing.

    Args:
        means: tensors of floating point, changed in place.
        now: finite ones of the same shapes.
        share: a scalar on their device.
    """
    means, now = list(means), list(now)
    shares = {kind: share.to(kind) for kind in {mean.dtype for mean in means}}
    torch._foreach_lerp_(means, now, [shares[mean.dtype] for mean in means])
