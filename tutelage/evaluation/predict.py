"""Compute the logits of a network for rows of a pack."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from tutelage.data.loading.loader import reading_loader
from tutelage.data.loading.pixel_source import Feed
from tutelage.data.pack.pack import Pack

BATCH = 256


def read_logits(
    classifier: nn.Module,
    pack: Pack,
    rows: np.ndarray,
    *,
    device: torch.device,
    cast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    progress: Callable[[int, int], None] = lambda _done, _count: None,
    feed: Feed | None = None,
) -> np.ndarray:
    """Compute logits for some rows of a pack in eval mode; the training mode is restored.

    Args:
        classifier: maps stored images to `ModelOutput`.
        pack: holds the images.
        rows: int64 [N], rows of the pack.
        device: where the network is.
        cast: the autocast context to run it in.
        progress: called with (images done, N).
        feed: the source of the pixels; worth sharing if the same rows are read again.

    Returns:
        float32 [N, C], in the order of `rows`.
    """
    training = classifier.training
    classifier.eval()
    parts = []
    try:
        with torch.no_grad():
            loader = reading_loader(pack, rows, batch_size=BATCH, device=device, feed=feed)
            for batch in loader.epoch():
                with cast():
                    parts.append(classifier(batch.images).logits.float())
                progress(min(len(parts) * BATCH, len(rows)), len(rows))
    finally:
        classifier.train(training)
    if not parts:
        return np.empty((0, len(pack.classes)), dtype=np.float32)
    return torch.cat(parts).cpu().numpy()
