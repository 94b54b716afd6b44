"""The epochs of a specialist: half of the images are of its own classes, half are drawn from all others.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.2. Every image of the group is shown, and as many
others, drawn again for each epoch. The draw is a function of (seed, epoch), as the order is.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError, UsageError

_DRAWN = 1
"""Keeps the seed of the draw apart from that of the order, which depends on (seed, epoch) alone."""


class BalancedHalves(NamedTuple):
    """The rows of both halves."""

    own: NDArray[np.int64]
    """int64, ascending: images of the group's classes, all of which are shown."""
    others: NDArray[np.int64]
    """int64, ascending: all other images, of which some are shown."""

    @property
    def drawn(self) -> int:
        """Others in an epoch: as many as own images, or all where there are fewer."""
        return min(len(self.own), len(self.others))

    @property
    def images(self) -> int:
        """Images in an epoch."""
        return len(self.own) + self.drawn

    def rows(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch (from 0), ascending: int64 [own + drawn]."""
        words = np.random.SeedSequence([seed, epoch, _DRAWN]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
        chosen = torch.randperm(len(self.others), generator=generator)[: self.drawn].numpy()
        return np.sort(np.concatenate([self.own, self.others[chosen]]))


def refuse_mixed(views: AugmentationConfig) -> None:
    """Require views of one image each.

    Raises:
        UsageError: views are made of two images.
    """
    if views.mixing:
        raise UsageError(
            "a specialist's epochs cannot be balanced with views made of two images",
            found=f"mixup = {views.mixup}, cutmix = {views.cutmix}",
            fix="no mixup and no cutmix",
        )


def balanced_halves(pack: Pack) -> BalancedHalves:
    """Return the labelled training images of a pack whose last class is the dustbin.

    Raises:
        InputError: none of the group, or none of the others.
    """
    rows = pack.rows("train")
    labels, others = pack.labels[rows], len(pack.classes) - 1
    found = BalancedHalves(rows[(labels >= 0) & (labels < others)], rows[labels == others])
    if not len(found.own) or not len(found.others):
        raise InputError(
            "a specialist needs images of its classes and of others, and one kind is missing",
            found=f"{len(found.own)} of {', '.join(pack.classes[:-1])}; {len(found.others)} others",
            expected="training images of both",
        )
    return found
