"""A student in training under any method, on the sample's images: its state, its teachers' word, its steps.

Made by `tutelage.engine.build`, as a run makes them. Networks have random weights: how long a step takes
does not depend on what they know. Nothing is compiled.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tutelage.commands.benchmark_step import StepBenchmark, open_step_benchmark
from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.config.model import ModelConfig
from tutelage.data.class_subset import class_subset
from tutelage.data.loading.loader import Loader
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE
from tutelage.engine.build import build_run, to_device
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.teachers import Teachers
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.models.build import build_model
from tutelage.models.model_folder import SavedModel
from tutelage.models.preprocess import Classifier
from tutelage.teachers.teacher import Teacher
from tutelage.types import Progress


class Class(NamedTuple):
    """A student in training, the word of its finished teachers, and their networks by name."""

    state: TrainingState
    word: Teacher
    teachers: tuple[str, ...] = ()


def parser(about: str, name: str) -> argparse.ArgumentParser:
    """The flags of a benchmark of steps on the sample; `name` is the usual one of its results."""
    made = argparse.ArgumentParser(description=about.partition("\n")[0])
    made.add_argument("--student", default="resnet18")
    made.add_argument("--teacher", default="resnet34")
    made.add_argument("--images", type=int, default=640)
    made.add_argument("--size", type=int, default=64)
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--rounds", type=int, default=20)
    made.add_argument("--device", default="auto")
    made.add_argument("--name", default=name, help="of the file of results")
    return made


def open_sample(folder: Path, chosen: argparse.Namespace) -> StepBenchmark:
    """The sample's images, packed, and how this machine computes, by the flags of `parser`."""
    settings = TrainConfig(
        model=chosen.student,
        weights="none",
        batch_size=chosen.batch,
        device=chosen.device,
        data=DataConfig(image_size=chosen.size),
    )
    return open_step_benchmark(
        "sample",
        settings,
        teacher=chosen.teacher,
        folder=folder,
        images=chosen.images,
        say=lambda line: print(line, file=sys.stderr),
    )


def make_class(
    trial: StepBenchmark,
    settings: TrainConfig,
    teachers: Sequence[str] = (),
    *,
    groups: Sequence[Sequence[str]] = (),
) -> Class:
    """A student under a method.

    Args:
        trial: images and machine.
        settings: of the student, with its method.
        teachers: the networks of finished teachers, by name, in the method's order; each has a seed of its
            own. Where there are none, the method's companions learn beside the student.
        groups: the classes of each teacher after the first, where these are specialists.

    Raises:
        UsageError: networks or terms that do not fit the method.
    """
    pack, runtime = trial.pack, trial.runtime
    seen = (
        [pack, *(class_subset(pack, group) for group in groups)]
        if groups
        else [pack] * len(teachers)
    )
    finished = [
        SavedModel(
            _network(view, ModelConfig(model=model, weights="none"), seed=seed),
            view.classes,
            pack.image_size,
            "white",
            model,
        )
        for seed, (model, view) in enumerate(zip(teachers, seen, strict=True), 1)
    ]
    settings = dataclasses.replace(
        settings, teacher=tuple(teachers), skip_teacher_check=True
    )  # they are random
    opened = Teachers(settings, finished)
    model = build_run(settings, pack, opened, device=runtime.device)
    to_device(model.method, runtime, ALONE, compiled=False)
    model.method.train()
    folders = (trial.folder / "run", trial.folder / "cache")
    context = RunContext("trial", *folders, Console(quiet=True), StopRequest())
    prepared = opened.prepare(pack, model.method, context, runtime, shares=model.shares)
    state = TrainingState(model.method, settings, runtime)
    return Class(state, prepared.teacher, tuple(teachers))


def _network(pack: Pack, settings: ModelConfig, *, seed: int) -> Classifier:
    return build_model(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=seed,
    ).classifier


def steps(taught: Class, loader: Loader, *, epochs: int) -> Iterator[Progress]:
    """A training step for each `next`: batch, teacher's word, forward, backward, update, what follows it.

    The epochs are gone through in turn without the first, in which a student that is taught by its past has
    none, and without last batches that are smaller than the others.

    Args:
        taught: by whom.
        loader: of the training images, with partners where the method asks for them.
        epochs: of the student, at least 2.

    Yields:
        Where training stood in the step.
    """
    state = taught.state
    for epoch in itertools.cycle(range(1, epochs)):
        for batch in loader.epoch(epoch):
            if len(batch.ids) < loader.batch_size:
                continue
            progress = Progress(epoch, state.step, epoch / epochs)
            signal = taught.word(batch, progress)
            train_step(state, batch, signal, progress, rate=1e-4, clip=None)
            yield progress


def staying_bytes(state: TrainingState) -> int:
    """The bytes of tensors that stay from step to step: weights of all networks, optimizer, memories.

    Not among them is what a cache of teachers' answers holds: on a processor it stays in its file.
    """
    held: list[Tensor] = [*state.method.parameters(), *state.method.buffers()]
    for of_one in state.weights.optimizer.state.values():
        held += [value for value in of_one.values() if isinstance(value, Tensor)]
    if state.average is not None:
        held += [*state.average.parameters(), *state.average.buffers()]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    return sum(storages.values())


def with_partners(loader: Loader) -> Loader:
    """The same batches, each image with another one of its class."""
    return dataclasses.replace(loader, partners=True)
