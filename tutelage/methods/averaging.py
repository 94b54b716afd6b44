"""A moving average of weights, moved on by a share that stays on the device."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def move_towards(means: Iterable[Tensor], now: Iterable[Tensor], share: Tensor) -> None:
    """Move on: mean <- mean + share (now - mean), one for one; a share of 0 changes nothing.

    Args:
        means: tensors of floating point, changed in place.
        now: finite ones of the same shapes.
        share: a scalar on their device.
    """
    means, now = list(means), list(now)
    shares = {kind: share.to(kind) for kind in {mean.dtype for mean in means}}
    torch._foreach_lerp_(means, now, [shares[mean.dtype] for mean in means])
