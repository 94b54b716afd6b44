"""BatchNorm over the batch of all processes, so that several processes train as one would.

On GPUs it is torch's own `SyncBatchNorm` by way of timm, which knows the norms with an activation inside;
that one refuses to run on processors, where the few lines below do the same.
"""

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn

from tutelage.distributed import World
from tutelage.engine.runtime.process_group import gather_rows


def sync_batchnorm(holder: nn.Module, device: torch.device, world: World) -> None:
    """Make every BatchNorm in a module use the statistics of the whole batch over all processes."""
    if world.size == 1:
        return
    if device.type == "cuda":
        convert_sync_batchnorm(holder)  # type: ignore[no-untyped-call]
        return
    for module in holder.modules():
        kind = type(module)
        if kind in _SHARED:
            # The class alone changes: weights, buffers and names stay what they are.
            module.__class__ = _SHARED[kind]


class _Shared(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return _normed(self, input) if self.training else super().forward(input)


class _Shared1d(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        return _normed(self, input) if self.training else super().forward(input)


class _SharedAct(BatchNormAct2d):
    def forward(self, x: Tensor) -> Any:
        if not self.training:
            return super().forward(x)  # type: ignore[no-untyped-call]
        return self.act(self.drop(_normed(self, x)))


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _Shared,
    nn.BatchNorm1d: _Shared1d,
    BatchNormAct2d: _SharedAct,
}


def _normed(norm: nn.BatchNorm2d | nn.BatchNorm1d, images: Tensor) -> Tensor:
    """Normalize [b, C, ...] by mean and variance over all processes; update the running statistics."""
    size = torch.distributed.get_world_size()
    values = images.to(torch.promote_types(images.dtype, torch.float32))
    axes = [axis for axis in range(images.ndim) if axis != 1]
    variance, mean = torch.var_mean(values, axes, correction=0)
    count = mean.new_full((1,), images.numel() / images.shape[1])
    # Means and variances of parts make those of the whole (Chan, Golub and LeVeque 1979), without the
    # cancellation of sums of squares.
    every = gather_rows(torch.cat([mean, variance, count])[None], size)
    means, variances, counts = torch.split(every, [len(mean), len(mean), 1], dim=1)
    shares = counts / counts.sum()
    whole = (shares * means).sum(0)
    spread = (shares * (variances + (means - whole) ** 2)).sum(0)
    _move_on(norm, whole.detach(), spread.detach(), counts.detach().sum())
    scale = (spread + norm.eps).rsqrt()
    shift = -whole * scale
    if norm.weight is not None:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    shape = [1, -1] + [1] * (images.ndim - 2)
    normed = values * scale.view(shape) + shift.view(shape)
    return normed.to(images.dtype)


def _move_on(
    norm: nn.BatchNorm2d | nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: Tensor
) -> None:
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    rate = norm.momentum if norm.momentum is not None else 1.0 / norm.num_batches_tracked
    norm.running_mean += rate * (mean - norm.running_mean)
    norm.running_var += rate * (variance * count / (count - 1) - norm.running_var)
