"""A cached teacher: outputs for every view of every training image, computed once, read by image id.

Exact, because a view is a pure function of (pixels, key, view number, seed) and the teacher is frozen: the
student later sees the very pixels for which the outputs were computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.distributed import World
from tutelage.errors import InputError
from tutelage.teachers.cache.table import CachedOutputs, CacheTable, Shapes
from tutelage.teachers.cache.writer import CacheWriter
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch, Progress, TeacherOutput

BATCH = 256
"""Images per batch."""

AUDITED = 32
"""Images computed again by `audit_cache`."""


class CacheQuery(NamedTuple):
    """The outputs that a cache must hold."""

    pack: Pack
    """Pack whose training images are covered."""

    views: AugmentationConfig
    """Settings of the views."""

    number: int
    """Views of each image: 0 to number - 1."""

    device: torch.device
    """Where outputs are computed and used."""


class CachedTeacher:
    """A teacher that reads its outputs from a table. It holds the positions of one view at a time."""

    def __init__(self, table: CacheTable, query: CacheQuery) -> None:
        self._table, self._query = table, query
        self._view = -1
        self._positions: NDArray[np.int64] = np.empty(0, np.int64)
        self._resident: dict[str, Tensor] = {}

    def __call__(self, batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
        """Return the stored outputs of these images: logits [b, C] and features [b, ...], in fp32."""
        if batch.view != self._view:
            self._load_view(batch.view)
        if self._resident:
            rows = {name: block[batch.ids] for name, block in self._resident.items()}
        else:
            rows = {
                name: torch.from_numpy(block).to(batch.ids.device, non_blocking=True)
                for name, block in self._read(self._positions[batch.ids.cpu().numpy()]).items()
            }
        found = {name: block.float() for name, block in rows.items()}
        return TeacherOutput(logits=found.pop("logits"), features=found)

    def _load_view(self, view: int) -> None:
        pack, device = self._query.pack, self._query.device
        self._positions = self._table.positions(np.asarray(pack.keys), view)
        if (self._positions[pack.rows("train")] < 0).any():
            raise InputError(
                "the teacher's cache has no answer about some images",
                where=self._table.folder,
                found=f"view {view}",
            )
        self._view = view
        if device.type != "cpu":
            # A step on a GPU must not wait for the host: keep one view's outputs on the device.
            self._resident = {
                name: torch.from_numpy(block).to(device)
                for name, block in self._read(self._positions.clip(min=0)).items()
            }

    def _read(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        points = [name for name in self._table.shapes if name != "logits"]
        features = {name: self._table.features(name, places) for name in points}
        return {"logits": self._table.logits(places), **features}


def missing_outputs(table: CacheTable, query: CacheQuery) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the (view, image ids) missing in the table; equal images are listed once."""
    rows = query.pack.rows("train")
    keys = np.asarray(query.pack.keys)[rows]
    once = np.sort(np.unique(keys, return_index=True)[1])
    parts = []
    for view in range(query.number):
        unknown = once[table.positions(keys[once], view) < 0]
        if len(unknown):
            parts.append((view, rows[unknown]))
    return parts


def fill_cache(
    table: CacheTable,
    teacher: Teacher,
    query: CacheQuery,
    *,
    world: World,
    progress: Callable[[int, int], None],
    batch_size: int = BATCH,
) -> None:
    """Compute all missing outputs, each process its share; the first process writes.

    After an interruption, written outputs are kept and the next call computes the rest.

    Args:
        table: the table so far.
        teacher: the teacher to run.
        query: the outputs needed.
        world: the processes that share the work.
        progress: called with (outputs done, outputs missing at the start); may raise to stop.
        batch_size: images per batch in each process.

    Raises:
        InputError: outputs of another shape, or that float16 cannot hold.
    """
    parts = missing_outputs(table, query)
    count, done = sum(len(ids) for _, ids in parts), 0
    writer = CacheWriter(table.folder) if world.first else None
    try:
        for view, ids in parts:
            for low in range(0, len(ids), batch_size * world.size):
                some = ids[low : low + batch_size * world.size]
                mine = some[world.share(len(some))]
                parts_of_all = world.all_gather(
                    compute_outputs(teacher, query, mine, view, shapes=table.shapes)
                )
                if writer is not None:
                    for part in parts_of_all:
                        writer.add(part)
                    writer.keep()
                done += len(some)
                progress(done, count)
    finally:
        if writer is not None:
            writer.close()


def compute_outputs(
    teacher: Teacher,
    query: CacheQuery,
    ids: NDArray[np.int64],
    view: int,
    *,
    shapes: Shapes,
) -> CachedOutputs:
    """Compute a teacher's outputs for one view of some training images, in their order."""
    keys = np.asarray(query.pack.keys)[ids]
    blocks = {name: [np.empty((0, *shape), np.float32)] for name, shape in shapes.items()}
    loader = reading_loader(
        query.pack,
        ids,
        batch_size=max(1, len(ids)),
        device=query.device,
        views=query.views,
        view=view,
    )
    for batch in loader.epoch() if len(ids) else ():
        signal = teacher(batch)
        assert signal.logits is not None
        if signal.logits.shape != (len(batch.ids), *shapes["logits"]):
            raise InputError(
                "the teacher's answer has another shape than the classes",
                found=list(signal.logits.shape),
                expected=[len(batch.ids), *shapes["logits"]],
            )
        for name, answer in {"logits": signal.logits, **signal.features}.items():
            if name in blocks:
                blocks[name].append(answer.float().cpu().numpy())
    whole = {name: np.concatenate(parts) for name, parts in blocks.items()}
    return CachedOutputs(keys, np.full(len(ids), view, np.int32), whole.pop("logits"), whole)


def audit_cache(
    table: CacheTable, teacher: Teacher, query: CacheQuery, *, tolerance: float
) -> None:
    """Compute the outputs of a few random images again and compare them with the cache.

    Args:
        table: a complete table.
        teacher: the live network.
        query: the outputs needed.
        tolerance: largest difference allowed, as a share of the standard deviation of these logits.

    Raises:
        InputError: the outputs differ; the message names the image.
    """
    rows = query.pack.rows("train")
    if query.number == 0:
        return
    generator = np.random.default_rng(len(table))
    view = int(generator.integers(query.number))
    ids = np.sort(generator.choice(rows, min(AUDITED, len(rows)), replace=False))
    fresh = compute_outputs(teacher, query, ids, view, shapes=table.shapes)
    kept = table.logits(table.positions(fresh.keys, view))
    # Without the row's mean: an offset means nothing and would inflate the spread.
    difference = np.abs(_centred(fresh.logits) - _centred(kept)).max(axis=1)
    allowed = tolerance * max(float(_centred(fresh.logits).std()), 1e-6)
    worst = int(difference.argmax())
    if not difference[worst] <= allowed:
        raise InputError(
            "the teacher no longer gives what its cache holds",
            where=table.folder,
            found=f"image {ids[worst]}, view {view}: logits differ by {difference[worst]:.3g}",
            expected=f"at most {allowed:.3g}",
            fix=f"tutelage cache remove {table.folder.name} --folder {table.folder.parent}; it is made again",
        )


def _centred(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = logits - logits.mean(axis=1, keepdims=True)
    return centred
