"""Some of a teacher's answers, by which it is judged before it teaches."""

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

_NOW, _BEFORE = 512, 4096


def cached_sample(table: CacheTable, question: CacheQuery) -> Sample:
    """What is kept about the first view of some labelled training images; the table is complete."""
    pack = question.pack
    rows = _some(pack, pack.rows("train"), _BEFORE)
    places = table.positions(np.asarray(pack.keys)[rows], 0)
    return table.logits(places), rows


def live_sample(teacher: Teacher, pack: Pack, device: torch.device) -> Sample:
    """What a teacher says about some labelled images as they are stored, those of validation first."""
    rows = _some(pack, pack.rows("val"), _NOW)
    rows = np.concatenate([rows, _some(pack, pack.rows("train"), _NOW - len(rows))])
    said = [np.empty((0, len(pack.classes)), np.float32)]
    for batch in reading_loader(pack, rows, batch_size=BATCH, device=device).epoch():
        logits = teacher(batch).logits
        assert logits is not None
        said.append(logits.float().cpu().numpy())
    return np.concatenate(said), rows


def _some(pack: Pack, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of the labelled ones of some images, evenly from all of them."""
    rows = rows[pack.labels[rows] >= 0]
    places = np.linspace(0, len(rows), min(count, len(rows)), endpoint=False).astype(np.int64)
    return np.asarray(rows[places])
