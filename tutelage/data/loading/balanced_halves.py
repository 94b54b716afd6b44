"""An epoch of a specialist: half of its images are of its own classes, half are drawn from all others.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.2. Every image of the group is shown, and as
many others, drawn anew for each epoch. What is drawn is a function of (seed, epoch), as the order is.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError, UsageError

_DRAWN = 1
"""Apart from the seed of the order, which is that of (seed, epoch) alone."""


class BalancedHalves(NamedTuple):
    """The rows of both halves, ascending: own, of the group's classes; others, of which some are shown."""

    own: NDArray[np.int64]
    others: NDArray[np.int64]

    @property
    def drawn(self) -> int:
        """Others in an epoch: as many as own images, or all where there are fewer."""
        return min(len(self.own), len(self.others))

    @property
    def images(self) -> int:
        """Images in an epoch."""
        return len(self.own) + self.drawn

    def rows(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The rows of an epoch (from 0), ascending: int64 [own + drawn]."""
        words = np.random.SeedSequence([seed, epoch, _DRAWN]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
        chosen = torch.randperm(len(self.others), generator=generator)[: self.drawn].numpy()
        return np.sort(np.concatenate([self.own, self.others[chosen]]))


def refuse_mixed(views: AugmentationConfig) -> None:
    """Nothing happens where each view is of one image.

    Raises:
        UsageError: it is made of two.
    """
    if views.mixing:
        raise UsageError(
            "of views made of two images, half are not of a specialist's classes and half of others",
            found=f"mixup = {views.mixup}, cutmix = {views.cutmix}",
            fix="no mixup and no cutmix",
        )


def balanced_halves(pack: Pack) -> BalancedHalves:
    """The labelled training images of a grouped pack, whose last class is the dustbin.

    Raises:
        InputError: none of the group, or none of the others.
    """
    rows = pack.rows("train")
    labels, others = pack.labels[rows], len(pack.classes) - 1
    found = BalancedHalves(rows[(labels >= 0) & (labels < others)], rows[labels == others])
    if not len(found.own) or not len(found.others):
        raise InputError(
            "a specialist learns from images of its classes and of others, and one kind is missing",
            found=f"{len(found.own)} of {', '.join(pack.classes[:-1])}; {len(found.others)} others",
            expected="training images of both",
        )
    return found
