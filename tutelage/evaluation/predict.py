"""Ask a network about images without training it: logits in the order of the given rows."""

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
    """A network's logits for some rows of a pack, in eval mode; its training mode is put back.

    Args:
        classifier: stored images in, `Output` out.
        pack: where the images are.
        rows: int64 [N], which of them.
        device: where the network is.
        cast: the autocast context to run it in.
        progress: told (images done, N).
        feed: where the images come from; worth making once where the same rows are read again.

    Returns:
        float32 [N, C].
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
