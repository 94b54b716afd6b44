"""A teacher's folder -> a teacher that answers in training: from its cache where it can, else live."""

import math
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.config.augmentation import view_key
from tutelage.config.job import TrainConfig
from tutelage.data.augment.views import view_version
from tutelage.data.loading.pixel_source import read_unpinned
from tutelage.data.pack.pack import Pack
from tutelage.distributed import World
from tutelage.engine.runtime.console import Console, format_duration
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.signals import StopRequest
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
"""Largest difference between two askings, in spreads of the logits: rounding differs by batch size."""


class PreparedTeacher(NamedTuple):
    """A teacher ready to answer, when it is asked, and how long asking ahead took (None: not done)."""

    teacher: Teacher
    mode: OutputMode | None
    seconds: float | None


class Surroundings(NamedTuple):
    """Where a teacher is asked: for whom, at which place, with which processes."""

    name: str
    caches: Path
    runtime: Runtime
    screen: Console
    stop: StopRequest
    world: World


CheckOutputs = Callable[[NDArray[np.float32], NDArray[np.int64]], None]
"""Told what a teacher says [N, C] about images of these ids [N]; raises where that cannot teach."""


def prepare_teacher(
    saved: SavedModel,
    settings: TrainConfig,
    pack: Pack,
    needs: Needs,
    around: Surroundings,
    *,
    judge: CheckOutputs,
) -> PreparedTeacher:
    """Make one teacher ready: choose how it is asked, and ask what is to be asked ahead.

    It is judged first: by what it said about the very images where that is kept, else by what it says about
    some images as they are stored.

    Raises:
        InputError: a teacher that `judge` refuses, a cache that does not fit, or a teacher that no longer
            says what its cache holds.
        Interrupted: asked to stop; answers so far are kept.
    """
    live, fold = _live(saved.classifier, needs, around.runtime)
    points = sorted({*needs.teacher_points, *needs.teacher_vectors})
    shapes: dict[str, tuple[int, ...]] = {"logits": (len(pack.classes),)}
    if points:
        shapes |= _shapes(live, pack, points, around.runtime.device)
    mode = choose_output_mode(
        settings.teacher_outputs,
        settings,
        epochs=settings.epochs,
        images=len(pack.rows("train")),
        record_bytes=INDEX.itemsize + 2 * sum(map(math.prod, shapes.values())),
    )
    around.screen.line(f"{around.name}: teacher asked {_how(mode)}: {mode.why}")
    if mode.name == "live":
        judge(*live_sample(live, pack, around.runtime.device))
        return PreparedTeacher(live, mode, None)
    identity = _identity(saved, settings, pack, tuple(points), fold, around.runtime)
    question = CacheQuery(pack, settings, mode.number, around.runtime.device)
    cached, seconds = _ahead(live, identity, shapes, question, around, judge=judge)
    return PreparedTeacher(cached, mode, seconds)


def _how(mode: OutputMode) -> str:
    views = "view" if mode.number == 1 else "views"
    return "live" if mode.name == "live" else f"ahead ({mode.name}, {mode.number} {views})"


def _live(classifier: Classifier, needs: Needs, runtime: Runtime) -> tuple[Teacher, bool]:
    """The network itself, its norms folded where nothing inside it is looked at."""
    points = sorted({*needs.teacher_points, *needs.teacher_vectors})
    runtime.place(classifier)
    classifier.eval()
    short = None if points else fuse_batchnorm(classifier.network, classifier.preprocess.size)
    if short is not None:
        classifier = Classifier(short, classifier.preprocess)
        runtime.place(classifier)
    if runtime.device.type == "cpu":
        trim_padding(classifier.network)
    teacher = LiveTeacher(classifier, points)

    def ask(batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
        with runtime.cast():
            return teacher(batch)

    return ask, short is not None


def _shapes(
    live: Teacher, pack: Pack, points: list[str], device: torch.device
) -> dict[str, tuple[int, ...]]:
    """The shape of one image's features at each point, found by asking about one."""
    row = pack.rows("train")[:1]
    (image,) = read_unpinned(pack, device)(torch.from_numpy(row), [1])
    unknown = torch.full((1,), -1)
    signal = live(Batch(images=image, labels=unknown, ids=torch.from_numpy(row), view=0))
    return {point: tuple(signal.features[point].shape[1:]) for point in points}


def _identity(
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


def _ahead(
    live: Teacher,
    identity: CacheKey,
    shapes: Shapes,
    question: CacheQuery,
    around: Surroundings,
    *,
    judge: CheckOutputs,
) -> tuple[CachedTeacher, float | None]:
    folder, world = around.caches / identity.name, around.world
    begin, seconds = time.monotonic(), None
    with cache_lock(folder, world, waiting=_waiting(around)), disk_errors(folder):
        if world.first:
            create_cache(folder, identity, shapes)
        world.wait()
        table = open_cache_table(folder)
        unknown = bool(missing_outputs(table, question))
        # A mixture has no one label, and a run of no epochs asks about no view.
        if unknown or question.views.mixing or not question.number:
            judge(*live_sample(live, question.pack, around.runtime.device))
        else:
            judge(*cached_sample(table, question))
        if unknown:
            fill_cache(table, live, question, world=world, progress=_progress(around))
            around.screen.clear()
            world.wait()
            table = open_cache_table(folder)
            seconds = time.monotonic() - begin
            around.screen.line(
                f"{around.name}: the teacher's {len(table)} answers are kept in {folder} "
                f"({format_duration(seconds)})"
            )
    audit_cache(table, live, question, tolerance=_TOLERANCE[around.runtime.autocast])
    return CachedTeacher(table, question), seconds


def _progress(around: Surroundings) -> Callable[[int, int], None]:
    def progress(done: int, count: int) -> None:
        around.screen.status(f"{around.name}: the teacher answers {done}/{count}")
        if any(around.world.everyone(bool(around.stop))):
            raise Interrupted(
                "stopped while the teacher was asked; its answers so far are kept",
                where=around.caches,
            )

    return progress


def _waiting(around: Surroundings) -> Callable[[], None]:
    def waiting() -> None:
        around.screen.status(f"{around.name}: waiting for another run that asks the same teacher")
        if around.stop:
            raise Interrupted("stopped while waiting for another run", where=around.caches)

    return waiting
