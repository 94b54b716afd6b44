"""Sample some of a teacher's outputs, to check it before training."""

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.teachers.cache.cached import BATCH, CacheQuery
from tutelage.teachers.cache.table import CacheTable
from tutelage.teachers.teacher import Teacher

Sample = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Logits float32 [N, C], and the ids of the images int64 [N]."""

_LIVE, _CACHED = 512, 4096
"""Largest number of images in a sample."""


def cached_sample(table: CacheTable, query: CacheQuery) -> Sample:
    """Read the outputs for the first view of some labelled training images from a complete table."""
    pack = query.pack
    rows = _some(pack, pack.rows("train"), _CACHED)
    places = table.positions(np.asarray(pack.keys)[rows], 0)
    return table.logits(places), rows


def live_sample(teacher: Teacher, pack: Pack, device: torch.device) -> Sample:
    """Compute the outputs for some labelled images as stored, those of validation first."""
    rows = _some(pack, pack.rows("val"), _LIVE)
    rows = np.concatenate([rows, _some(pack, pack.rows("train"), _LIVE - len(rows))])
    parts = [np.empty((0, len(pack.classes)), np.float32)]
    for batch in reading_loader(pack, rows, batch_size=BATCH, device=device).epoch():
        logits = teacher(batch).logits
        assert logits is not None
        parts.append(logits.float().cpu().numpy())
    return np.concatenate(parts), rows


def _some(pack: Pack, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pick at most `count` labelled images, evenly spaced."""
    rows = rows[pack.labels[rows] >= 0]
    places = np.linspace(0, len(rows), min(count, len(rows)), endpoint=False).astype(np.int64)
    return np.asarray(rows[places])
