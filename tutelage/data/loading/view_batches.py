"""Turn rows of a pack into batches of their numbered views on a device.

The views of all rows are planned on the host at once, as a few whole numbers per image, and moved to the
device in one copy. Per batch there is only work on pixels, and nothing waits for the device.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.image_size import height_width
from tutelage.data.augment.mixup import apply_mixtures, plan_mixtures
from tutelage.data.augment.views import apply_views, plan_views
from tutelage.data.loading.pixel_source import Feed
from tutelage.data.pack.pack import Pack
from tutelage.types import MixedLabels


class ViewBatches(NamedTuple):
    """One numbered view of images of a pack."""

    pack: Pack
    feed: Feed
    views: AugmentationConfig
    view: int
    """Number of the view."""
    device: torch.device

    def batches(
        self, rows: Tensor, sizes: list[int]
    ) -> Iterator[tuple[Tensor, MixedLabels | None]]:
        """Yield the views of these rows.

        Args:
            rows: int64 [N] on the host.
            sizes: images in each batch, N together.

        Yields:
            Images uint8 [b, 3, H, W], and how they are mixed, if they are.
        """
        if self.views.mixing:
            yield from self._mixed(rows, sizes)
        else:
            for images in self._alone(rows, sizes):
                yield images, None

    def pairs(
        self, rows: Tensor, partners: Tensor, sizes: list[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the views of these rows and of their partners, each image by itself.

        Args:
            rows: int64 [N] on the host.
            partners: int64 [N], one for each of them.
            sizes: images in each batch, N together.

        Yields:
            Images and their partners, both uint8 [b, 3, H, W].
        """
        # Each batch is fetched together with its partners, which come after it.
        parts = zip(torch.split(rows, sizes), torch.split(partners, sizes), strict=True)
        both = torch.cat([part for pair in parts for part in pair])
        for images in self._alone(both, [2 * size for size in sizes]):
            own, others = images.chunk(2)
            yield own, others

    def split(self, numbers: np.ndarray, sizes: list[int]) -> tuple[Tensor, ...]:
        """Return numbers [N] on the device, in batches."""
        return torch.split(torch.from_numpy(numbers).to(self.device), sizes)

    def _alone(self, rows: Tensor, sizes: list[int]) -> Iterator[Tensor]:
        changes = plan_views(
            self._keys(rows), view=self.view, settings=self.views, size=self._size()
        )
        parts = torch.split(changes.to(self.device), sizes)
        for images, part in zip(self.feed(rows, sizes), parts, strict=True):
            yield apply_views(images, part, self.views)

    def _mixed(self, rows: Tensor, sizes: list[int]) -> Iterator[tuple[Tensor, MixedLabels]]:
        partners, shares, boxes = plan_mixtures(
            self._keys(rows),
            among=torch.from_numpy(self.pack.rows("train")),
            view=self.view,
            settings=self.views,
            size=self._size(),
        )
        mixtures = zip(
            self.pairs(rows, partners, sizes),
            torch.split(shares.to(self.device), sizes),
            torch.split(boxes.to(self.device), sizes),
            self.split(self.pack.labels[partners.numpy()], sizes),
            strict=True,
        )
        for (own, others), share, box, labels in mixtures:
            yield apply_mixtures(own, others, share, box, self.views), MixedLabels(labels, share)

    def _keys(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(self.pack.keys[rows.numpy()])

    def _size(self) -> tuple[int, int]:
        return height_width(self.pack.image_size)
