"""What a run trains: a network, the method that drives it, and whom it hears; then all of it on a device."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from tutelage.config.job import UNTAUGHT, TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.distributed import World
from tutelage.engine.peers import build_peers
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.sync_batchnorm import sync_batchnorm
from tutelage.engine.specialists import init_from_generalist
from tutelage.engine.teachers import NetworkFactory, teacher_weights
from tutelage.losses.term import Term
from tutelage.methods.describe import architecture_warnings
from tutelage.methods.factory import TrainingFacts, build_method
from tutelage.methods.method import Method
from tutelage.methods.offline import supervised_training
from tutelage.methods.registry import METHODS
from tutelage.models.build import BuiltModel, build_model
from tutelage.models.model_folder import SavedModel
from tutelage.models.preprocess import Classifier
from tutelage.models.trim_padding import trim_padding


class RunModel(NamedTuple):
    """A network that is to be trained, before anything of it is on a device.

    built: the network; method: drives it; teachers: finished networks that are asked; others: all that it
    learns from, finished or beside it; shares: how much each teacher counts, see `panel.weigh`.
    """

    built: BuiltModel
    method: Method
    teachers: Sequence[SavedModel]
    others: Sequence[Classifier]
    shares: tuple[float, ...]


def is_taught(settings: TrainConfig) -> bool:
    """Whether anyone teaches: not where a teacher or a control is made, or a finished one is missing."""
    about = METHODS[settings.method]
    if settings.role in UNTAUGHT:
        return False
    # Generation zero teaches itself as little as a student without its teacher is taught.
    return bool(settings.teacher) or not (about.taught or about.planned)


def initial_seed(settings: TrainConfig) -> int:
    """What the first weights of a run's network are made from."""
    return settings.seed if settings.init_seed is None else settings.init_seed


def build_run(
    settings: TrainConfig,
    pack: Pack,
    teachers: Sequence[SavedModel],
    *,
    device: torch.device,
    network: nn.Module | None = None,
    make: NetworkFactory | None = None,
) -> RunModel:
    """Build what a run's settings name.

    Args:
        settings: of the run.
        pack: the images as the run sees them.
        teachers: what `settings.teacher` names, opened.
        device: where teachers are asked how much each is to count.
        network: a module of the caller's own instead of `settings.model`, [B, 3, S, S] float -> [B, classes].
        make: what made it, for companions that are one more like it.

    Raises:
        UsageError, InputError: a network, weights or terms that do not go together.
    """
    going_on = settings.role == "specialist" and bool(teachers)
    built = build_model(
        dataclasses.replace(settings, weights="none") if going_on else settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=initial_seed(settings),
        network=network,
    )
    if going_on:
        built, teachers = init_from_generalist(built, Path(settings.teacher[0])), []
    others = [teacher.classifier for teacher in teachers]
    shares = teacher_weights(settings, others, pack, device)
    about = METHODS[settings.method]
    if is_taught(settings) and not (about.taught or about.planned):
        others = build_peers(settings, pack, make)
    method = _method(settings, built.classifier, others, pack, shares)
    return RunModel(built, method, teachers, others, shares)


def to_device(method: Method, runtime: Runtime, world: World, *, compiled: bool) -> None:
    """Put the student, its companions, what only listens (such as an average) and the terms on the device.

    Args:
        method: of a learner.
        runtime: how it computes.
        world: the processes that share the statistics of batch normalisation.
        compiled: whether the network is compiled whatever the machine.
    """
    plain = runtime.device.type == "cpu" and not compiled
    for inside in [m for m in method.modules() if isinstance(m, Classifier)]:
        runtime.place(inside)
        trim_padding(inside.network, on=plain)
        sync_batchnorm(inside, runtime.device, world)
    method.to(runtime.device)
    terms = [m for m in method.modules() if isinstance(m, Term) and not m.across_batch]
    for part in (*terms, *method.attachments):
        sync_batchnorm(part, runtime.device, world)


def architecture_notes(learner: RunModel) -> list[str]:
    """Where the student and those it learns from see images unlike each other, a line each."""
    notes = [
        note
        for number, other in enumerate(learner.others)
        for note in architecture_warnings(
            learner.method, learner.built.classifier, other, number=number
        )
    ]
    return list(dict.fromkeys(notes))  # several teachers may be of one kind


def _method(
    settings: TrainConfig,
    student: Classifier,
    others: Sequence[Classifier],
    pack: Pack,
    shares: tuple[float, ...],
) -> Method:
    if not is_taught(settings):
        return supervised_training(student, label_smoothing=settings.label_smoothing)
    lesson = TrainingFacts(
        epochs=settings.epochs,
        classes=len(pack.classes),
        ids=torch.from_numpy(pack.rows("train")),
        size=pack.image_size,
        label_smoothing=settings.label_smoothing,
        seed=settings.seed,
        shares=shares,
    )
    return build_method(settings, student, others, lesson)
