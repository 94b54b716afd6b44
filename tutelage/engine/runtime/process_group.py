"""Process groups: how processes connect, and how parts of a batch become the whole.

Started by `torchrun`, every process runs the same command. Two groups connect them: the ordinary one
waits long, for what the first process does alone; the one that steps talk over gives up after
`PATIENCE`, so that a dead peer ends the run instead of holding it.
"""

import datetime
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from tutelage.distributed import ALONE, World, process_lost, shares, world_from_environment
from tutelage.errors import MachineError

PATIENCE = datetime.timedelta(seconds=25)
_LONG = datetime.timedelta(hours=24)

_steps: dist.ProcessGroup | None = None


@contextmanager
def process_group() -> Iterator[World]:
    """Connect this process to the others of its run while the block runs.

    Raises:
        MachineError: the other processes cannot be reached.
    """
    global _steps
    world = world_from_environment()
    if world.size == 1 or dist.is_initialized():  # a caller's own group is used as it is
        yield world if world.size > 1 else ALONE
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(world.local)
    else:
        # torchrun gives each process one thread unless told; the machine's cores are shared out instead.
        here = int(os.environ.get("LOCAL_WORLD_SIZE", world.size))
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // here))
    _stay_on_this_machine(world)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_LONG)
        group = dist.new_group(timeout=PATIENCE)
        assert isinstance(group, dist.ProcessGroup)
        _steps = group
        yield world
    except dist.DistError as error:
        raise process_lost(error) from error
    finally:
        _steps = None
        if dist.is_initialized():
            dist.destroy_process_group()


def _stay_on_this_machine(world: World) -> None:
    """Keep processes of one machine on its loopback, which no other machine can reach.

    They trust each other: whoever can send to one of them can run code in it. What a person has set is
    left as it is, and so are processes on several machines.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != str(world.size):
        return
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    for setting in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        if loopback is not None:
            os.environ.setdefault(setting, loopback)


def step_group() -> dist.ProcessGroup | None:
    """Return the group with the short timeout; None for a single process."""
    return _steps


@contextmanager
def watch_peers(world: World) -> Iterator[None]:
    """Turn a failed collective call in the block into an error that says another process is gone.

    Raises:
        MachineError: it is.
    """
    try:
        yield
    except RuntimeError as error:  # gloo raises plain RuntimeErrors, nccl DistErrors, which are too
        if world.size == 1 or not _is_of_processes(error):
            raise
        raise process_lost(error) from error


def _is_of_processes(error: RuntimeError) -> bool:
    words = ("gloo", "nccl", "connection", "timed out", "peer", "process group")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def agreed_stop(wish: float, device: torch.device) -> float:
    """Return the maximum over all processes, so that all stop or save after the same step."""
    wishes = torch.tensor(wish, device=device)
    dist.all_reduce(wishes, op=dist.ReduceOp.MAX, group=_steps)
    return wishes.item()


def gather_rows(rows: Tensor, whole: int) -> Tensor:
    """Gather the rows [b, ...] of each process into those of the whole batch [whole, ...], by rank.

    Differentiable: all processes hold the same loss, so the gradients of their copies are added up;
    averaging over processes afterwards (DistributedDataParallel) gives the gradient of one process.
    """
    gathered: Tensor = _Gather.apply(rows, whole)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, whole: int) -> Tensor:
        bounds = shares(whole, dist.get_world_size())
        ctx.bounds = bounds[dist.get_rank()]
        most = bounds[0][1] - bounds[0][0]
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in bounds]
        dist.all_gather(parts, padded, group=_steps)
        return torch.cat([p[: high - low] for p, (low, high) in zip(parts, bounds, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient, group=_steps)
        low, high = ctx.bounds
        return gradient[low:high], None


def average_parts(value: Tensor, share: float) -> Tensor:
    """Turn the mean over this process's images, `share` of a batch, into the mean over the batch.

    Differentiable: averaging over processes afterwards gives the gradient of one process.
    """
    averaged: Tensor = _Average.apply(value, share)
    return averaged


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, share: float) -> Tensor:
        ctx.factor = share * dist.get_world_size()
        part = value * share
        dist.all_reduce(part, group=_steps)
        return part

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def average_gradient(gradient: Tensor) -> Tensor:
    """Average a tensor over all processes."""
    if not dist.is_initialized():
        return gradient
    gradient = gradient.clone()
    dist.all_reduce(gradient, group=_steps)
    return gradient / dist.get_world_size()


def gather_array(rows: np.ndarray, whole: int, world: World) -> np.ndarray:
    """Gather a measured array over the group with the long timeout, as `gather_rows` does.

    Raises:
        MachineError: another process has ended.
    """
    if world.size == 1:
        return rows
    parts = world.all_gather(rows)
    joined = np.concatenate(parts)
    if len(joined) != whole:
        raise MachineError(
            "the processes of this run do not fit together", found=len(joined), expected=whole
        )
    return joined
