"""Find the epoch at which validation accuracy levels off.

Definition. The curve is smoothed by a centred mean over a tenth of the epochs (three or more, an
odd number, narrower at the ends). The final plateau is the mean of the last quarter of the
unsmoothed epochs; its noise is their standard deviation, or one image where that is more. The curve
levels off at the first epoch whose smoothed accuracy is no further below the plateau than that
noise. An epoch inside the last quarter means that it was still rising at the end. At least eight
epochs are needed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EPOCHS_NEEDED = 8


class Plateau(NamedTuple):
    """The plateau of a curve; accuracies in 0..1."""

    epoch: int | None
    """Where the curve levels off; None while it is still rising."""
    level: float
    noise: float


def find_plateau(accuracies: NDArray[np.float64], images: int) -> Plateau | None:
    """Find the plateau of validation `accuracies` [E], epoch 1 first; None for too few epochs."""
    epochs = len(accuracies)
    if epochs < EPOCHS_NEEDED or not np.isfinite(accuracies).all():
        return None
    quarter = max(3, epochs // 4)
    final = accuracies[-quarter:]
    level = float(final.mean())
    noise = max(float(final.std(ddof=1)), 1 / max(images, 1))
    reached = np.flatnonzero(smooth(accuracies) >= level - noise)
    first = int(reached[0]) + 1 if len(reached) else epochs
    return Plateau(first if first <= epochs - quarter else None, level, noise)


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the centred moving mean [E] over a tenth of the epochs, three or more."""
    epochs = len(values)
    reach = (max(3, epochs // 10) - 1) // 2
    means = []
    for index in range(epochs):
        side = min(reach, index, epochs - 1 - index)
        means.append(values[index - side : index + side + 1].mean())
    return np.array(means)
