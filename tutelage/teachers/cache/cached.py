"""A cached teacher: its answer about every view of every training image, asked once, read by image id.

Exact, because a view is a pure function of (pixels, key, view number, seed): the student later sees the
very pixels the teacher was asked about, and the teacher, being frozen, would say the same again.
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
AUDITED = 32


class CacheQuery(NamedTuple):
    """What a teacher is asked: views 0 to number - 1 of a pack's training images, and on what device."""

    pack: Pack
    views: AugmentationConfig
    number: int
    device: torch.device


class CachedTeacher:
    """A teacher that looks its answers up. Only one view's places are held at a time."""

    def __init__(self, table: CacheTable, question: CacheQuery) -> None:
        self._table, self._question = table, question
        self._view = -1
        self._places: NDArray[np.int64] = np.empty(0, np.int64)
        self._resident: dict[str, Tensor] = {}

    def __call__(self, batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
        """What the teacher said about these images: logits [b, C] and features [b, ...], in fp32."""
        if batch.view != self._view:
            self._turn_to(batch.view)
        if self._resident:
            rows = {name: block[batch.ids] for name, block in self._resident.items()}
        else:
            rows = {
                name: torch.from_numpy(block).to(batch.ids.device, non_blocking=True)
                for name, block in self._read(self._places[batch.ids.cpu().numpy()]).items()
            }
        found = {name: block.float() for name, block in rows.items()}
        return TeacherOutput(logits=found.pop("logits"), features=found)

    def _turn_to(self, view: int) -> None:
        pack, device = self._question.pack, self._question.device
        self._places = self._table.positions(np.asarray(pack.keys), view)
        if (self._places[pack.rows("train")] < 0).any():
            raise InputError(
                "the teacher's cache has no answer about some images",
                where=self._table.folder,
                found=f"view {view}",
            )
        self._view = view
        if device.type != "cpu":
            # A step on a GPU must not wait for the host: one view's answers lie on the device.
            self._resident = {
                name: torch.from_numpy(block).to(device)
                for name, block in self._read(self._places.clip(min=0)).items()
            }

    def _read(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        points = [name for name in self._table.shapes if name != "logits"]
        features = {name: self._table.features(name, places) for name in points}
        return {"logits": self._table.logits(places), **features}


def missing_outputs(table: CacheTable, question: CacheQuery) -> list[tuple[int, NDArray[np.int64]]]:
    """(view, image ids) that the table has no answer about yet; of equal images only one."""
    rows = question.pack.rows("train")
    keys = np.asarray(question.pack.keys)[rows]
    once = np.sort(np.unique(keys, return_index=True)[1])
    parts = []
    for view in range(question.number):
        unknown = once[table.positions(keys[once], view) < 0]
        if len(unknown):
            parts.append((view, rows[unknown]))
    return parts


def fill_cache(
    table: CacheTable,
    teacher: Teacher,
    question: CacheQuery,
    *,
    world: World,
    progress: Callable[[int, int], None],
    batch_size: int = BATCH,
) -> None:
    """Ask about all that is missing, each process about its share; the first one writes.

    What was written before an interruption counts; the rest is asked the next time.

    Args:
        table: as it stands.
        teacher: to be asked.
        question: about what.
        world: the processes that share the work.
        progress: told (answers done, answers missing); may raise to stop.
        batch_size: images at once in each process.

    Raises:
        InputError: an answer of another shape, or one that float16 cannot hold.
    """
    parts = missing_outputs(table, question)
    count, done = sum(len(ids) for _, ids in parts), 0
    writer = CacheWriter(table.folder) if world.first else None
    try:
        for view, ids in parts:
            for low in range(0, len(ids), batch_size * world.size):
                some = ids[low : low + batch_size * world.size]
                mine = some[world.share(len(some))]
                said = world.all_gather(
                    compute_outputs(teacher, question, mine, view, shapes=table.shapes)
                )
                if writer is not None:
                    for answers in said:
                        writer.add(answers)
                    writer.keep()
                done += len(some)
                progress(done, count)
    finally:
        if writer is not None:
            writer.close()


def compute_outputs(
    teacher: Teacher,
    question: CacheQuery,
    ids: NDArray[np.int64],
    view: int,
    *,
    shapes: Shapes,
) -> CachedOutputs:
    """What a teacher says about one view of some training images, in their order."""
    keys = np.asarray(question.pack.keys)[ids]
    said = {name: [np.empty((0, *shape), np.float32)] for name, shape in shapes.items()}
    loader = reading_loader(
        question.pack,
        ids,
        batch_size=max(1, len(ids)),
        device=question.device,
        views=question.views,
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
            if name in said:
                said[name].append(answer.float().cpu().numpy())
    whole = {name: np.concatenate(parts) for name, parts in said.items()}
    return CachedOutputs(keys, np.full(len(ids), view, np.int32), whole.pop("logits"), whole)


def audit_cache(
    table: CacheTable, teacher: Teacher, question: CacheQuery, *, tolerance: float
) -> None:
    """Ask again about a few random images and compare: the last word on whether a cache may be used.

    Args:
        table: complete for the question.
        teacher: the live network.
        question: about what.
        tolerance: largest difference, as a share of the spread of the logits asked about.

    Raises:
        InputError: the teacher says something else now; the image is named.
    """
    rows = question.pack.rows("train")
    if question.number == 0:
        return
    generator = np.random.default_rng(len(table))
    view = int(generator.integers(question.number))
    ids = np.sort(generator.choice(rows, min(AUDITED, len(rows)), replace=False))
    said = compute_outputs(teacher, question, ids, view, shapes=table.shapes)
    kept = table.logits(table.positions(said.keys, view))
    # Without the row's mean: an offset means nothing, and would hide behind a large spread.
    difference = np.abs(_centred(said.logits) - _centred(kept)).max(axis=1)
    allowed = tolerance * max(float(_centred(said.logits).std()), 1e-6)
    worst = int(difference.argmax())
    if not difference[worst] <= allowed:
        raise InputError(
            "the teacher no longer says what its cache holds",
            where=table.folder,
            found=f"image {ids[worst]}, view {view}: logits differ by {difference[worst]:.3g}",
            expected=f"at most {allowed:.3g}",
            fix=f"tutelage cache remove {table.folder.name} --folder {table.folder.parent}; it is made again",
        )


def _centred(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = logits - logits.mean(axis=1, keepdims=True)
    return centred
