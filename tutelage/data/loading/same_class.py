"""Draw a partner for each image of an epoch: another image of its class.

A partner is a pure function of (seed, key of the image, epoch) and of the images of the class, so it is the
same in any batch, process or resumed run. Each epoch draws again, even where views are fixed. Partners are
shown in their own view of the epoch.
"""

import numpy as np
import torch
from torch import Tensor

from tutelage.data.augment.views import uniform

_PARTNER = 13
"""Stream of `uniform`; views and mixtures take those below."""


def draw_same_class(
    rows: Tensor, *, among: Tensor, labels: np.ndarray, keys: np.ndarray, epoch: int, seed: int
) -> Tensor:
    """Draw another image of the class of each image, all others being equally likely.

    An image without a label, or alone in its class, is its own partner.

    Args:
        rows: int64 [N] on the host, rows of the pack, each one of `among`.
        among: int64 [R], ascending: the rows that partners are drawn from.
        labels: int64, of every row of the pack, -1 where unknown.
        keys: int64, of every row of the pack.
        epoch: from 0.
        seed: of the run.

    Returns:
        int64 [N], rows of the pack.
    """
    classes = torch.from_numpy(labels[among.numpy()])
    # Sorted by class, the images of a class are adjacent, in [low, high).
    ordered, order = classes.sort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    place = rank[torch.searchsorted(among, rows)]
    mine = torch.from_numpy(labels[rows.numpy()])
    low, high = torch.searchsorted(ordered, mine), torch.searchsorted(ordered, mine, right=True)
    drawn = uniform(torch.from_numpy(keys[rows.numpy()]), view=epoch, seed=seed, stream=_PARTNER)
    other = low + (drawn * (high - low - 1)).to(torch.int64)
    other = other + (other >= place)  # skips the image itself
    alone = (mine < 0) | (high - low < 2)
    return torch.where(alone, rows, among[order[torch.where(alone, place, other)]])
