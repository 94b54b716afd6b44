"""Set up a student, its teacher and real images as a run does, for timing single steps.

Networks have random weights: how long a step takes does not depend on what they know.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from tutelage.commands.prepare_data import open_or_pack
from tutelage.config.job import TrainConfig
from tutelage.config.model import ModelConfig
from tutelage.config.schema import validate
from tutelage.data.loading.loader import Loader, training_loader
from tutelage.data.pack.pack import Pack, open_pack
from tutelage.data.readers.open import open_source
from tutelage.distributed import ALONE
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import Runtime, resolve_runtime
from tutelage.engine.runtime.precision_probe import choose_precision
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.teachers import Teachers
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.errors import InputError
from tutelage.evaluation.timing import Way
from tutelage.methods.factory import TrainingFacts, build_distillation
from tutelage.methods.method import Method
from tutelage.methods.offline import supervised_training
from tutelage.models.build import BuiltModel, build_model, require_known
from tutelage.models.model_folder import SavedModel
from tutelage.models.preprocess import Classifier
from tutelage.models.trim_padding import trim_padding
from tutelage.teachers.teacher import Teacher, no_teacher
from tutelage.types import Batch, Progress

Kind = Literal["plain", "cached", "live"]


class StepBenchmark(NamedTuple):
    """What timed training steps are made of."""

    settings: TrainConfig
    """Of the student."""

    pack: Pack

    runtime: Runtime

    teacher: str
    """Name of the teacher's network."""

    folder: Path
    """A temporary one, for the cache of the teacher's outputs."""

    def loader(self) -> Loader:
        """Load the training images in batches, as in a run."""
        return training_loader(
            self.pack,
            batch_size=self.settings.batch_size,
            views=self.settings,
            seed=self.settings.seed,
            device=self.runtime.device,
        )

    def state(self, kind: Kind) -> TrainingState:
        """Set up a new student for training: on its labels alone where plain, else also under a teacher."""
        classifier = _network(self.settings, self.pack).classifier
        self.runtime.place(classifier)
        trim_padding(classifier.network, on=self.runtime.device.type == "cpu")
        smoothing = self.settings.label_smoothing
        method: Method = supervised_training(classifier, label_smoothing=smoothing)
        if kind != "plain":
            facts = TrainingFacts(
                epochs=self.settings.epochs,
                classes=len(self.pack.classes),
                ids=torch.from_numpy(self.pack.rows("train")),
                size=self.pack.image_size,
                label_smoothing=smoothing,
            )
            method = build_distillation(classifier, self._teacher(), self.settings, facts)
            method.to(self.runtime.device)
        return TrainingState(method.train(), self.settings, self.runtime)

    def teacher_for(self, kind: Kind, state: TrainingState) -> Teacher:
        """Prepare the student's teacher: none, its cached outputs (computed first), or the network."""
        if kind == "plain":
            return no_teacher
        pack, classifier = self.pack, self._teacher()
        saved = SavedModel(classifier, pack.classes, pack.image_size, "white", self.teacher)
        ask: Literal["cached", "live"] = "cached" if kind == "cached" else "live"
        settings = dataclasses.replace(
            self.settings, teacher_outputs=ask, skip_teacher_check=True
        )  # it is random
        place = (self.folder / "run", self.folder / "cache")
        context = RunContext("trial", *place, Console(quiet=True), StopRequest())
        teachers = Teachers(settings, [saved])
        return teachers.prepare(pack, state.method, context, self.runtime, shares=()).teacher

    def _teacher(self) -> Classifier:
        return _network(ModelConfig(model=self.teacher, weights="none"), self.pack).classifier

    def settle(self) -> None:
        """Wait for work in flight on a GPU."""
        if self.runtime.device.type == "cuda":
            torch.cuda.synchronize(self.runtime.device)


def open_step_benchmark(
    data: str | Path,
    settings: TrainConfig,
    *,
    teacher: str,
    folder: Path,
    images: int,
    say: Callable[[str], None],
) -> StepBenchmark:
    """Pack some real images and decide how to compute.

    Args:
        data: what `tutelage pack` takes, or a pack.
        settings: of the student.
        teacher: name of its teacher's network.
        folder: a temporary one.
        images: to train on; fewer where there are fewer, but at least a batch.
        say: prints a line.

    Raises:
        UsageError: an unknown network or device.
        InputError: fewer labelled images than a batch.
    """
    validate(settings)
    require_known(settings.model)
    require_known(teacher, flag="--teacher-model")
    runtime = resolve_runtime(settings)
    pack = _images(data, settings, folder / "pack", images)
    runtime = choose_precision(
        runtime,
        settings,
        _network(settings, pack).classifier,
        size=pack.image_size,
        batch_size=settings.batch_size,
        name=settings.model,
        file=folder / "precision.json",
        world=ALONE,
        say=say,
    )
    return StepBenchmark(settings, pack, runtime, teacher, folder)


def first_batch(trial: StepBenchmark) -> Batch:
    """Load one whole batch on the device."""
    return next(iter(trial.loader().epoch()))


def step_timer(state: TrainingState, teacher: Teacher, batch: Batch) -> Way:
    """Return one training step: teacher output, forward, backward, update."""
    start = Progress(epoch=0, step=0, fraction=0.0)

    def way() -> None:
        train_step(state, batch, teacher(batch), start, rate=1e-3, clip=None)

    return way


def _network(settings: ModelConfig, pack: Pack) -> BuiltModel:
    return build_model(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=0,
    )


def _images(data: str | Path, settings: TrainConfig, folder: Path, images: int) -> Pack:
    if (Path(data) / "manifest.json").is_file():
        pack = _some(open_pack(data), images)
        _require_batch(len(pack.rows("train")), settings, data)
        return pack
    items = open_source(str(data), settings.data).items
    labelled = sum(item.label is not None for item in items)
    _require_batch(labelled - 1, settings, data)
    split = (min(images, labelled - 1), 1, 0)
    small = dataclasses.replace(settings.data, splits="redraw", split=split)
    return open_or_pack(data, small, folder, console=Console(quiet=True), stop=StopRequest())


def _some(pack: Pack, images: int) -> Pack:
    """Keep only the first few training images of a pack."""
    nowhere = np.uint8(255)
    splits = np.array(pack.splits)
    splits[pack.rows("train")[images:]] = nowhere
    return dataclasses.replace(pack, splits=splits)


def _require_batch(images: int, settings: TrainConfig, data: str | Path) -> None:
    if images < settings.batch_size:
        raise InputError(
            "too few labelled images for a batch",
            where=data,
            found=images,
            expected=settings.batch_size,
            fix="a smaller --batch-size, or `sample` as the data",
        )
