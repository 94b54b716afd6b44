"""Load batches of a pack. The order of an epoch is a pure function of (seed, epoch).

So a run continues in the middle of an epoch from two integers, and no worker keeps a random state. Pixels
come from a feed (`pixel_source`), views of them from `view_batches`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.loading.balanced_halves import BalancedHalves, balanced_halves, refuse_mixed
from tutelage.data.loading.pixel_source import Feed, choose_source, read_unpinned
from tutelage.data.loading.same_class import draw_same_class
from tutelage.data.loading.view_batches import ViewBatches
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE, World
from tutelage.errors import UsageError
from tutelage.types import Batch, MixedLabels

FIXED = AugmentationConfig()


@dataclass(frozen=True, slots=True, eq=False)
class Loader:
    """Batches of one split on one device. Make it with `training_loader` or `reading_loader`."""

    pack: Pack
    rows: np.ndarray
    """All rows that are ever shown."""
    batch_size: int
    views: AugmentationConfig
    seed: int
    device: torch.device
    shuffled: bool
    feed: Feed
    view: int | None = None
    """Number of the view that is shown; None: that of the epoch."""
    world: World = ALONE
    partners: bool = False
    """Whether each image comes with another one of its class."""
    halves: BalancedHalves | None = None
    """Where an epoch is not all rows, but half of one kind and half of another."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._bounds())

    @property
    def images(self) -> int:
        """Images in an epoch, over all processes."""
        return len(self.rows) if self.halves is None else self.halves.images

    def sizes(self) -> list[int]:
        """Return the number of images in each batch of an epoch, over all processes."""
        return [high - low for low, high in self._bounds()]

    def epoch(self, epoch: int = 0, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch (from 0), from number `start` on; of each, this process's part."""
        wholes = self.sizes()[start:]
        if not wholes:
            return
        view = self.views.number(epoch) if self.view is None else self.view
        showing = ViewBatches(self.pack, self.feed, self.views, view, self.device)
        rows, sizes = self._part(epoch, start)
        batches = zip(
            self._shown(showing, torch.from_numpy(rows), sizes, epoch),
            showing.split(self.pack.labels[rows], sizes),
            showing.split(rows, sizes),
            wholes if self.world.size > 1 else [None] * len(wholes),
            strict=True,
        )
        for (images, mixed, partners), labels, ids, whole in batches:
            yield Batch(images, labels, ids, view, mixed, whole, partners)

    def _shown(
        self, showing: ViewBatches, rows: Tensor, sizes: list[int], epoch: int
    ) -> Iterator[tuple[Tensor, MixedLabels | None, Tensor | None]]:
        """Yield the images of each batch, how they are mixed, and their partners, where there are any."""
        if not self.partners:
            for images, mixed in showing.batches(rows, sizes):
                yield images, mixed, None
            return
        pack = self.pack
        others = draw_same_class(
            rows,
            among=torch.from_numpy(self.rows),
            labels=pack.labels,
            keys=pack.keys,
            epoch=epoch,
            seed=self.seed,
        )
        for images, partners in showing.pairs(rows, others, sizes):
            yield images, None, partners

    def _bounds(self) -> list[tuple[int, int]]:
        count, size = self.images, self.batch_size
        starts = list(range(0, count, size))
        if self.shuffled and len(starts) > 1 and 0 < count % size < max(2, self.world.size):
            # BatchNorm has no variance in a batch of one, and each process needs an image of each
            # batch: the last few images join the batch before them.
            starts.pop()
        return list(zip(starts, [*starts[1:], count][: len(starts)], strict=True))

    def _part(self, epoch: int, start: int) -> tuple[np.ndarray, list[int]]:
        """Return this process's rows in the order of the epoch from batch `start` on, and its batch sizes."""
        order = self.rows if self.halves is None else self.halves.rows(self.seed, epoch)
        if self.shuffled:
            generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
            order = order[torch.randperm(len(order), generator=generator).numpy()]
        parts = []
        for low, high in self._bounds()[start:]:
            share = self.world.share(high - low)
            parts.append(order[low:high][share.start : share.stop])
        return np.concatenate(parts), [len(part) for part in parts]


def training_loader(
    pack: Pack,
    *,
    batch_size: int,
    views: AugmentationConfig,
    seed: int,
    device: torch.device,
    world: World = ALONE,
    partners: bool = False,
    dustbin: bool = False,
) -> Loader:
    """Return a loader of shuffled views of the training split, labelled or not; at least one batch.

    Args:
        pack: where the images are.
        batch_size: images in a batch of all processes together.
        views: how views are made, and their seed.
        seed: of the order, and of the draw of partners.
        device: of the batches.
        world: the processes that share each batch. Order and views do not depend on their number; nor do
            batches, except where a last one with fewer images than processes joins the one before it.
        partners: whether each image comes with another one of its class, not with views of two images.
        dustbin: whether the last class is a dustbin: an epoch is all labelled images of the others, and as
            many of it, drawn again; not with views of two images, which would change the shares.

    Raises:
        UsageError: fewer images in a batch than processes; partners or halves together with mixed views.
        InputError: no images of the dustbin, or of the other classes.
    """
    if partners and views.mixing:
        raise UsageError(
            "a mixture of two images has two classes, and so no partner",
            found=f"mixup = {views.mixup}, cutmix = {views.cutmix}",
            fix="no mixup and no cutmix",
        )
    if dustbin:
        refuse_mixed(views)
    halves = balanced_halves(pack) if dustbin else None
    rows = pack.rows("train") if halves is None else np.sort(np.concatenate(halves))
    least = min(batch_size, len(rows) if halves is None else halves.images)
    if least < world.size:
        raise UsageError(
            "a batch has fewer images than there are processes",
            found=f"{least} images, {world.size} processes",
            expected="at least one image for each process",
            fix=f"--batch-size {world.size} or more"
            if batch_size < world.size
            else "fewer processes: there are no more training images",
        )
    feed = choose_source(pack, rows, device)
    return Loader(
        pack, rows, batch_size, views, seed, device, True, feed, None, world, partners, halves
    )


def reading_loader(
    pack: Pack,
    rows: np.ndarray,
    *,
    batch_size: int,
    device: torch.device,
    views: AugmentationConfig = FIXED,
    view: int = 0,
    feed: Feed | None = None,
) -> Loader:
    """Return a loader of the given rows in their order: for evaluation, prediction and teacher outputs.

    Args:
        pack: where the images are.
        rows: int64 [N], which of them; of this process alone.
        batch_size: images in a batch.
        device: of the batches.
        views: the images as stored, or the views of a training run.
        view: number of the view: the images that training shows under this number.
        feed: where the pixels come from. Unset: one that holds nothing, right for reading them once;
            `choose_source` makes one that may keep them on the device.
    """
    feed = feed or read_unpinned(pack, device)
    number = 0 if views.fixed else view
    return Loader(pack, rows, batch_size, views, 0, device, False, feed, view=number)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch's order: far apart for neighbouring seeds and epochs."""
    return int(
        np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )
