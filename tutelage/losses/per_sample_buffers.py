"""Buffers with one row an image, too large to copy at every step: they log the rows a step overwrites."""

import torch
from torch import Tensor, nn


class PerSampleBuffer(nn.Module):
    """A module whose large buffers are changed row by row, and can undo a step.

    The training loop calls `begin_step` before a step and `end_step` after it. Nothing is logged otherwise.
    """

    by_row: tuple[str, ...] = ()
    """Names of these buffers; the other buffers are small."""

    def __init__(self) -> None:
        super().__init__()
        self._overwritten: list[tuple[Tensor, Tensor, Tensor]] | None = None

    def begin_step(self) -> None:
        """Keep the rows that are overwritten from now on."""
        self._overwritten = []

    @torch.no_grad()
    def overwrite(self, memory: Tensor, ids: Tensor, rows: Tensor) -> None:
        """Put rows [B, ...] at places [B] of one of the buffers [N, ...]."""
        if self._overwritten is not None:
            self._overwritten.append((memory, ids, memory[ids]))
        memory.index_copy_(0, ids, rows.to(memory))

    @torch.no_grad()
    def end_step(self, undo: Tensor) -> None:
        """Stop logging; restore the overwritten rows if `undo` (a bool on the device) is true."""
        for memory, ids, before in reversed(self._overwritten or []):
            memory.index_copy_(0, ids, torch.where(undo, before, memory[ids]))
        self._overwritten = None
