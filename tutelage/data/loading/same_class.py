"""Partners: for each image of an epoch another one of its class. Who with whom is a function of the epoch.

The partner of an image is a pure function of (seed, key of the image, epoch) and of the images of its
class, so that it is the same in any batch, process or resume. Each epoch draws anew, even where views are
fixed. Partners are shown in their own view of the epoch.
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
    """Another image of the class of each image, every other one with the same chance.

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
    # In the order of classes, the images of a class stand side by side in [low, high).
    ordered, order = classes.sort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    place = rank[torch.searchsorted(among, rows)]
    mine = torch.from_numpy(labels[rows.numpy()])
    low, high = torch.searchsorted(ordered, mine), torch.searchsorted(ordered, mine, right=True)
    drawn = uniform(torch.from_numpy(keys[rows.numpy()]), view=epoch, seed=seed, stream=_PARTNER)
    other = low + (drawn * (high - low - 1)).to(torch.int64)
    other = other + (other >= place)  # jumps over the image itself
    alone = (mine < 0) | (high - low < 2)
    return torch.where(alone, rows, among[order[torch.where(alone, place, other)]])
