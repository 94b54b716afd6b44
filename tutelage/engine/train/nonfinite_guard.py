"""Skip steps whose loss or gradient is not finite: detected and undone on the device.

Optimizers skip such a step by themselves: torch's fused ones read a flag on the device (`found_inf`), which
its gradient scaler for fp16 gives them, too. What the forward pass has changed is put back: running
statistics and other small buffers from a copy, the rows of large memories by themselves (`losses.rows`).
Random numbers that it drew stay drawn.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from tutelage.losses.per_sample_buffers import PerSampleBuffer
from tutelage.types import Batch, Progress

READ_EVERY = 20
"""Steps after which a device is waited for, to see what became of them."""

OVERFLOW, NONFINITE = 1, 2
"""What a step that was not taken is: fp16 was scaled up too far, which is usual; or it was not finite."""


_SMALL = 4096
"""Numbers of a gradient that is looked at together with others: for fewer, a call costs more than they do."""

_UNREAD = 1000
"""Steps that are kept for a `read` that may never come."""


class GuardedStep(NamedTuple):
    """An optimizer step that was read: where it stood; its mark, 0 (taken), OVERFLOW or NONFINITE; the ids of
    its images in this process, where it was NONFINITE.
    """

    epoch: int
    step: int
    mark: int
    ids: tuple[int, ...] = ()


class NonfiniteGuard:
    """Guard the steps of one method.

    `begin`, then `heed` each batch of a step, `judge` before the optimizer, `settle` after it; `close` ends
    the step. None of them waits for the device; `read` does.
    """

    def __init__(self, method: nn.Module, device: torch.device, *, every: int) -> None:
        """Guard a method that is already on its device.

        Args:
            method: what is trained.
            device: where.
            every: steps after which `full` asks for a `read`.
        """
        self._memories = [
            module for module in method.modules() if isinstance(module, PerSampleBuffer)
        ]
        self._small = _by_kind(_small_buffers(method))
        self._before: list[Tensor] | None = None
        self._lost = torch.zeros((), dtype=torch.bool, device=device)
        self._spoilt = torch.zeros_like(self._lost)
        self._one = torch.ones(1, device=device)
        self._mark = torch.zeros((), device=device)
        self._every = every
        self._ids: list[Tensor] = []
        self._steps: deque[tuple[Progress, list[Tensor], Tensor]] = deque(maxlen=_UNREAD)

    def begin(self) -> None:
        """Save what the coming forward passes may change, once a step."""
        if self._before is None:
            self._before = [torch.cat(flat) for flat in self._small]
            for memory in self._memories:
                memory.begin_step()

    def heed(self, batch: Batch, total: Tensor) -> None:
        """Check the loss of a batch."""
        self._lost |= ~total.detach().isfinite()
        if not self._ids or self._ids[-1] is not batch.ids:
            self._ids.append(batch.ids)

    def judge(self, optimizer: Optimizer, scaler: GradScaler) -> None:
        """Check the gradients; make the optimizer skip the step if any is not finite."""
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if scaler.is_enabled():
            # The scaler looks at gradients alone: a loss that is lost spoils one of them.
            gradients[0].add_(torch.where(self._lost, torch.nan, 0.0).to(gradients[0].dtype))
            scaler.unscale_(optimizer)
            found = torch.stack([*scaler._found_inf_per_device(optimizer).values()]).sum()
            usual = ~self._lost & (scaler.scale(self._one)[0] > 1)
            mark = torch.where(usual, OVERFLOW, NONFINITE) * (found > 0)
        else:
            found = (self._lost | _not_finite(gradients, self._one)).float()
            optimizer.found_inf = found  # type: ignore[attr-defined]
            mark = NONFINITE * found
        self._mark = torch.maximum(self._mark, mark)
        self._spoilt = found > 0

    @torch.no_grad()
    def settle(self) -> None:
        """Restore what the forward passes of a skipped step have changed."""
        assert self._before is not None
        for flat, before in zip(self._small, self._before, strict=True):
            kept = torch.where(self._spoilt, before, torch.cat(flat))
            torch._foreach_copy_(flat, torch.split(kept, [len(part) for part in flat]))
        for memory in self._memories:
            memory.end_step(self._spoilt)
        self._before = None
        self._lost.zero_()

    def close(self, progress: Progress) -> Tensor:
        """End a step.

        Returns:
            1 on the device where all of it was taken, else 0.
        """
        self._steps.append((progress, self._ids, self._mark))
        taken = (self._mark == 0).to(torch.float64)
        self._mark, self._ids = torch.zeros_like(self._mark), []
        return taken

    @property
    def full(self) -> bool:
        """Return whether it is time for a `read`."""
        return len(self._steps) >= self._every

    def read(self) -> list[GuardedStep]:
        """Return the steps ended since the last call; waits for the device."""
        if not self._steps:
            return []
        marks = torch.stack([mark for _, _, mark in self._steps]).tolist()
        read = []
        for (progress, batches, _), mark in zip(self._steps, marks, strict=True):
            ids: Iterable[Tensor] = batches if mark == NONFINITE else ()
            named = tuple(number for some in ids for number in some.tolist())
            read.append(GuardedStep(progress.epoch, progress.step, int(mark), named))
        self._steps.clear()
        return read


def _not_finite(gradients: list[Tensor], one: Tensor) -> Tensor:
    """Test on the device whether any number of some gradients, or their sum, is not finite.

    Each has to be read once more, which is most of what the guard costs. On a processor a sum is the fastest
    way to do so; on a GPU one kernel for all of them is.
    """
    if one.device.type == "cuda":
        found = torch.zeros_like(one)
        if gradients:
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, one)
        return found[0] > 0
    small = [gradient.view(-1) for gradient in gradients if gradient.numel() < _SMALL]
    sums = [gradient.sum() for gradient in gradients if gradient.numel() >= _SMALL]
    sums += [torch.cat(small).sum()] if small else []
    return ~torch.stack(sums or [one[0]]).isfinite().all()


def _small_buffers(method: nn.Module) -> list[Tensor]:
    """Collect every buffer that training may change, except the large ones, as flat views."""
    found: dict[int, Tensor] = {}
    for module in method.modules():
        large = module.by_row if isinstance(module, PerSampleBuffer) else ()
        for name, buffer in module.named_buffers(recurse=False):
            # What is not saved is given, not learned.
            if name not in large and name not in module._non_persistent_buffers_set:
                found[id(buffer)] = buffer.view(-1)
    return list(found.values())


def _by_kind(flat: Sequence[Tensor]) -> list[list[Tensor]]:
    kinds = dict.fromkeys(tensor.dtype for tensor in flat)
    return [[tensor for tensor in flat if tensor.dtype == kind] for kind in kinds]


@dataclass
class SkippedSteps:
    """Of a run's steps: how many were left out so far; the images of each that was left out since the last
    that was taken; how many of the open epoch were taken.
    """

    count: int = 0
    row: list[list[int]] = field(default_factory=list)
    taken: int = 0

    def facts(self) -> dict[str, Any]:
        """Return plain numbers for a checkpoint."""
        return asdict(self)
