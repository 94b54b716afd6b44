"""The loader: pack -> batches. The order of an epoch is a pure function of (seed, epoch).

Because of that a run is continued in the middle of an epoch from two integers, and no worker keeps a
random state. The pack is memory-mapped; a batch is one gather from it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tutelage.data.pack import Pack
from tutelage.data.view_settings import Views
from tutelage.data.views import draw
from tutelage.nouns import Batch

FIXED = Views()


class Loader(NamedTuple):
    """Batches of one split on one device. Make it with `training_loader` or `reading_loader`."""

    pack: Pack
    rows: np.ndarray
    batch_size: int
    views: Views
    seed: int
    device: torch.device
    shuffled: bool

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._bounds())

    def sizes(self) -> list[int]:
        """Images in each batch of an epoch."""
        return [high - low for low, high in self._bounds()]

    def epoch(self, epoch: int = 0, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from batch number `start` on."""
        rows = self.rows
        if self.shuffled:
            generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
            rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
        view = 0 if self.views.fixed else epoch
        for low, high in self._bounds()[start:]:
            yield self._batch(rows[low:high], view)

    def _bounds(self) -> list[tuple[int, int]]:
        count, size = len(self.rows), self.batch_size
        starts = list(range(0, count, size))
        if self.shuffled and len(starts) > 1 and count % size == 1:
            # BatchNorm has no variance in a batch of one: the last image joins the batch before it.
            starts.pop()
        return list(zip(starts, [*starts[1:], count][: len(starts)], strict=True))

    def _batch(self, rows: np.ndarray, view: int) -> Batch:
        images = torch.from_numpy(self.pack.images[rows]).permute(0, 3, 1, 2)
        labels = torch.from_numpy(self.pack.labels[rows])
        ids = torch.from_numpy(rows)
        keys = torch.from_numpy(self.pack.keys[rows])
        images, labels, ids, keys = (self._move(part) for part in (images, labels, ids, keys))
        images = draw(images, keys, view=view, seed=self.seed, settings=self.views)
        return Batch(images=images, labels=labels, ids=ids, view=view)

    def _move(self, part: Tensor) -> Tensor:
        return part.to(self.device, non_blocking=True)


def training_loader(
    pack: Pack, *, batch_size: int, views: Views, seed: int, device: torch.device
) -> Loader:
    """Shuffled views of the training split, labelled or not; at least one batch."""
    return Loader(pack, pack.rows("train"), batch_size, views, seed, device, shuffled=True)


def reading_loader(
    pack: Pack, rows: np.ndarray, *, batch_size: int, device: torch.device
) -> Loader:
    """The given rows in their order, as stored: for measuring, predicting and the teacher's pass."""
    return Loader(pack, rows, batch_size, FIXED, 0, device, shuffled=False)


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch's order: far apart for neighbouring seeds and epochs."""
    return int(
        np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )
