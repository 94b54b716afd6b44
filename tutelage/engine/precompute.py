"""Prepare a teacher: precompute and cache its outputs where possible, otherwise run it at every step."""

import math
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.config.augmentation import view_key
from tutelage.config.job import TrainConfig
from tutelage.data.augment.views import view_version
from tutelage.data.loading.pixel_source import read_unpinned
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.progress import format_duration
from tutelage.errors import Interrupted
from tutelage.losses.term import Needs
from tutelage.models.fuse_batchnorm import fuse_batchnorm
from tutelage.models.model_folder import SavedModel
from tutelage.models.preprocess import Classifier
from tutelage.models.trim_padding import trim_padding
from tutelage.models.weights import fingerprint_of
from tutelage.storage.disk import disk_errors
from tutelage.teachers.cache.cached import (
    CachedTeacher,
    CacheQuery,
    audit_cache,
    fill_cache,
    missing_outputs,
)
from tutelage.teachers.cache.folder import cache_lock
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.mode import OutputMode, choose_output_mode
from tutelage.teachers.cache.table import INDEX, Shapes, open_cache_table
from tutelage.teachers.cache.writer import create_cache
from tutelage.teachers.live import LiveTeacher
from tutelage.teachers.sample import cached_sample, live_sample
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch, Progress, TeacherOutput

_TOLERANCE = {None: 0.01, torch.bfloat16: 0.1, torch.float16: 0.1}
"""Largest difference between two computations, in spreads of the logits: rounding differs by batch size."""


class PreparedTeacher(NamedTuple):
    """A teacher ready for training."""

    teacher: Teacher

    mode: OutputMode | None
    """Whether its outputs are cached or computed live; None: there is no teacher."""

    seconds: float | None
    """How long precomputing took; None: nothing was precomputed."""


CheckOutputs = Callable[[NDArray[np.float32], NDArray[np.int64]], None]
"""Refuse a teacher by its logits [N, C] for the images of these ids [N]."""


def prepare_teacher(
    saved: SavedModel,
    settings: TrainConfig,
    pack: Pack,
    needs: Needs,
    context: RunContext,
    runtime: Runtime,
    *,
    check: CheckOutputs,
) -> PreparedTeacher:
    """Prepare a teacher: precompute and cache its outputs where possible, otherwise run it at every step.

    It is checked first: by its outputs for the training images where the cache has them, else by those for
    some images as they are stored.

    Args:
        saved: its network.
        settings: of the student.
        pack: the images.
        needs: what the student's terms need of it.
        context: of the student's run.
        runtime: how the teacher computes.
        check: refuses a teacher that cannot teach.

    Raises:
        InputError: a teacher that `check` refuses, a cache that does not fit, or a teacher whose outputs are
            no longer those in its cache.
        Interrupted: stopped; outputs so far are kept.
    """
    live, fold = _live(saved.classifier, needs, runtime)
    points = sorted({*needs.teacher_points, *needs.teacher_vectors})
    shapes: dict[str, tuple[int, ...]] = {"logits": (len(pack.classes),)}
    if points:
        shapes |= _shapes(live, pack, points, runtime.device)
    mode = choose_output_mode(
        settings.teacher_outputs,
        settings,
        epochs=settings.epochs,
        images=len(pack.rows("train")),
        record_bytes=INDEX.itemsize + 2 * sum(map(math.prod, shapes.values())),
    )
    context.line(f"teacher outputs {_how(mode)}: {mode.why}")
    if mode.name == "live":
        check(*live_sample(live, pack, runtime.device))
        return PreparedTeacher(live, mode, None)
    key = _cache_key(saved, settings, pack, tuple(points), fold, runtime)
    query = CacheQuery(pack, settings, mode.number, runtime.device)
    cached, seconds = _precompute(live, key, shapes, query, context, runtime, check=check)
    return PreparedTeacher(cached, mode, seconds)


def _how(mode: OutputMode) -> str:
    views = "view" if mode.number == 1 else "views"
    return "live" if mode.name == "live" else f"cached ({mode.name}, {mode.number} {views})"


def _live(classifier: Classifier, needs: Needs, runtime: Runtime) -> tuple[Teacher, bool]:
    """Wrap the network itself; BatchNorm is fused into convolutions where no features are needed."""
    points = sorted({*needs.teacher_points, *needs.teacher_vectors})
    runtime.place(classifier)
    classifier.eval()
    short = None if points else _fused(classifier)
    if short is not None:
        classifier = Classifier(short, classifier.preprocess)
        runtime.place(classifier)
    if runtime.device.type == "cpu":
        trim_padding(classifier.network)
    teacher = LiveTeacher(classifier, points)

    def teach(batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
        with runtime.cast():
            return teacher(batch)

    return teach, short is not None


def _fused(classifier: Classifier) -> torch.nn.Module | None:
    preprocess = classifier.preprocess
    return fuse_batchnorm(classifier.network, preprocess.size, preprocess.channels)


def _shapes(
    live: Teacher, pack: Pack, points: list[str], device: torch.device
) -> dict[str, tuple[int, ...]]:
    """Find the shape of one image's features at each point by running one."""
    row = pack.rows("train")[:1]
    (image,) = read_unpinned(pack, device)(torch.from_numpy(row), [1])
    no_label = torch.full((1,), -1)
    signal = live(Batch(images=image, labels=no_label, ids=torch.from_numpy(row), view=0))
    return {point: tuple(signal.features[point].shape[1:]) for point in points}


def _cache_key(
    saved: SavedModel,
    settings: TrainConfig,
    pack: Pack,
    points: tuple[str, ...],
    fold: bool,
    runtime: Runtime,
) -> CacheKey:
    preprocess = saved.classifier.preprocess
    return CacheKey(
        teacher=fingerprint_of(saved.classifier.network),
        model=saved.model,
        libraries=", ".join(f"{name} {version(name)}" for name in ("torch", "timm")),
        classes=pack.classes,
        stored_size=pack.image_size,
        input_size=preprocess.size,
        mean=tuple(preprocess.mean.flatten().tolist()),
        std=tuple(preprocess.std.flatten().tolist()),
        precision=str(runtime.autocast),
        folded=fold,
        device=runtime.device.type,
        views={}
        if settings.fixed
        else {"made_by": view_version(runtime.device), **view_key(settings)},
        partners=pack.fingerprint if settings.mixing else None,
        points=points,
    )


def _precompute(
    live: Teacher,
    key: CacheKey,
    shapes: Shapes,
    query: CacheQuery,
    context: RunContext,
    runtime: Runtime,
    *,
    check: CheckOutputs,
) -> tuple[CachedTeacher, float | None]:
    """Compute the outputs that the cache lacks; returns the cached teacher and the seconds that took."""
    folder, world = context.caches / key.name, context.world
    begin, seconds = time.monotonic(), None
    with cache_lock(folder, world, waiting=_waiting(context)), disk_errors(folder):
        if world.first:
            create_cache(folder, key, shapes)
        world.wait()
        table = open_cache_table(folder)
        incomplete = bool(missing_outputs(table, query))
        # A mixture has no one label, and a run of no epochs needs no view.
        if incomplete or query.views.mixing or not query.number:
            check(*live_sample(live, query.pack, runtime.device))
        else:
            check(*cached_sample(table, query))
        if incomplete:
            fill_cache(table, live, query, world=world, progress=_progress(context))
            context.console.clear()
            world.wait()
            table = open_cache_table(folder)
            seconds = time.monotonic() - begin
            context.line(
                f"{len(table)} teacher outputs are cached in {folder} ({format_duration(seconds)})"
            )
    audit_cache(table, live, query, tolerance=_TOLERANCE[runtime.autocast])
    return CachedTeacher(table, query), seconds


def _progress(context: RunContext) -> Callable[[int, int], None]:
    def progress(done: int, count: int) -> None:
        context.console.status(f"{context.name}: teacher outputs {done}/{count}")
        if any(context.world.all_gather(bool(context.stop))):
            raise Interrupted(
                "stopped while precomputing teacher outputs; those so far are kept",
                where=context.caches,
            )

    return progress


def _waiting(context: RunContext) -> Callable[[], None]:
    def waiting() -> None:
        context.console.status(
            f"{context.name}: waiting for another run that precomputes the same teacher"
        )
        if context.stop:
            raise Interrupted("stopped while waiting for another run", where=context.caches)

    return waiting
