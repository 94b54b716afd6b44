"""Memories too large to be copied at every step: they note the rows that a step overwrites."""

import torch
from torch import Tensor, nn


class PerSampleBuffer(nn.Module):
    """A module whose large buffers, one row an image, change by rows, and can take them back.

    Whoever runs a step calls `note` before it and `settle` after it. Nothing is noted otherwise.
    """

    by_row: tuple[str, ...] = ()
    """Names of these buffers; its other buffers are small."""

    def __init__(self) -> None:
        super().__init__()
        self._overwritten: list[tuple[Tensor, Tensor, Tensor]] | None = None

    def note(self) -> None:
        """From here on, keep what is overwritten."""
        self._overwritten = []

    @torch.no_grad()
    def overwrite(self, memory: Tensor, ids: Tensor, rows: Tensor) -> None:
        """Put rows [B, ...] at places [B] of one of the buffers [N, ...]."""
        if self._overwritten is not None:
            self._overwritten.append((memory, ids, memory[ids]))
        memory.index_copy_(0, ids, rows.to(memory))

    @torch.no_grad()
    def settle(self, spoilt: Tensor) -> None:
        """Take back what was overwritten since `note`, where `spoilt`, a bool on the device, says so."""
        for memory, ids, before in reversed(self._overwritten or []):
            memory.index_copy_(0, ids, torch.where(spoilt, before, memory[ids]))
        self._overwritten = None
