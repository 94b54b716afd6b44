"""Build what a run trains: network, method and peers; then put all of it on a device."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from tutelage.config.data import PREPARATION, DataConfig
from tutelage.config.job import TrainConfig
from tutelage.config.schema import flag
from tutelage.data.pack.pack import Pack
from tutelage.distributed import World
from tutelage.engine.peers import build_peers
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.sync_batchnorm import sync_batchnorm
from tutelage.engine.specialists import init_from_generalist
from tutelage.engine.teachers import NetworkFactory, Teachers
from tutelage.errors import InputError
from tutelage.losses.term import Term
from tutelage.methods.describe import architecture_warnings
from tutelage.methods.factory import TrainingFacts, build_method
from tutelage.methods.method import Method
from tutelage.methods.offline import supervised_training
from tutelage.methods.registry import is_distilled, spec_of, teaches_itself
from tutelage.models.build import BuiltModel, build_model
from tutelage.models.class_order import reorder_classes
from tutelage.models.preprocess import Classifier
from tutelage.models.trim_padding import trim_padding


class RunModel(NamedTuple):
    """What a run trains, before anything of it is on a device."""

    built: BuiltModel
    """The network."""

    method: Method
    """What drives its training."""

    teachers: Teachers
    """Finished networks that teach it."""

    others: Sequence[Classifier]
    """All networks that it learns from, finished or trained beside it."""

    shares: tuple[float, ...]
    """How much each teacher counts; see `Teachers.shares`."""


def initial_seed(settings: TrainConfig) -> int:
    """Seed the initial weights of a run's network."""
    return settings.seed if settings.init_seed is None else settings.init_seed


def build_run(
    settings: TrainConfig,
    pack: Pack,
    teachers: Teachers,
    *,
    device: torch.device,
    network: nn.Module | None = None,
    factory: NetworkFactory | None = None,
) -> RunModel:
    """Build what a run's settings name.

    Args:
        settings: of the run.
        pack: the images as the run sees them.
        teachers: what `settings.teacher` names, opened.
        device: where teachers are measured, where their weights depend on it.
        network: a module of the caller's own instead of `settings.model`, [B, 3, S, S] float -> [B, classes].
        factory: what made it, for peers that are one more like it.

    Raises:
        UsageError, InputError: a network, weights or terms that do not go together.
    """
    starts_from_teacher = settings.is_specialist and bool(teachers.models)
    names = settings.teacher_classes if settings.weights and not settings.teacher else None
    built = build_model(
        dataclasses.replace(settings, weights="none") if starts_from_teacher else settings,
        classes=len(names or pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=initial_seed(settings),
        network=network,
    )
    _require_trained_head(settings, built)
    if names is not None:
        where = built.weights.path
        reorder_classes(built.classifier.network, names, pack.classes, where=where)
    if starts_from_teacher:
        built = init_from_generalist(built, Path(settings.teacher[0]))
        teachers = teachers._replace(models=[])
    others = teachers.networks
    shares = teachers.shares(pack, device)
    if is_distilled(settings) and teaches_itself(spec_of(settings)):
        others = build_peers(settings, pack, factory)
    method = _method(settings, built.classifier, others, pack, shares)
    return RunModel(built, method, teachers, others, shares)


def _require_trained_head(settings: TrainConfig, built: BuiltModel) -> None:
    """Refuse to take a network as it is whose classifier is random under the name of its weights."""
    loaded, network = built.weights.loaded, built.classifier.network
    record: Any = getattr(network, "pretrained_cfg", None) or {}
    outputs = getattr(network, "num_classes", None)
    of_tag = built.weights.kind == "tag" and record.get("num_classes") != outputs
    if settings.epochs or not (of_tag or (loaded is not None and loaded.random)):
        return
    raise InputError(
        "a network with a random head is to be used as it is",
        where=built.weights.path or settings.model,
        found=str(built.weights)
        if loaded
        else f"weights for {record.get('num_classes')} classes, {outputs} are wanted",
        expected="weights with a classifier for the classes of the data",
        fix="--epochs 5 to train it (the teacher of `tutelage run`: --teacher-epochs 5)",
    )


def to_device(method: Method, runtime: Runtime, world: World, *, compiled: bool) -> None:
    """Put the student, its peers, averages and terms on the device.

    Args:
        method: of a run.
        runtime: how it computes.
        world: the processes that share the statistics of batch normalization.
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


def architecture_notes(model: RunModel) -> list[str]:
    """List where the student and those it learns from see images differently, a line each."""
    notes = [
        note
        for number, other in enumerate(model.others)
        for note in architecture_warnings(
            model.method, model.built.classifier, other, number=number
        )
    ]
    return list(dict.fromkeys(notes))  # several teachers may be of one kind


def preparation_notes(teachers: Teachers, pack: Pack) -> list[str]:
    """List the teachers that were trained on images prepared otherwise than these, a line each."""
    usual = {name: getattr(DataConfig(), name) for name in PREPARATION}
    notes = []
    for saved in teachers.models:
        theirs, ours = usual | dict(saved.preparation), usual | pack.preparation
        other = [
            f"{flag(f'data.{name}')} {theirs[name]} (here {ours[name]})"
            for name in PREPARATION
            if name != "channels" and theirs[name] != ours[name]
        ]
        if other:
            notes.append(f"the teacher {saved.model} was trained with {', '.join(other)}")
    return list(dict.fromkeys(notes))


def _method(
    settings: TrainConfig,
    student: Classifier,
    others: Sequence[Classifier],
    pack: Pack,
    shares: tuple[float, ...],
) -> Method:
    if not is_distilled(settings):
        return supervised_training(student, label_smoothing=settings.label_smoothing)
    facts = TrainingFacts(
        epochs=settings.epochs,
        classes=len(pack.classes),
        ids=torch.from_numpy(pack.rows("train")),
        size=pack.image_size,
        label_smoothing=settings.label_smoothing,
        seed=settings.seed,
        shares=shares,
    )
    return build_method(settings, student, others, facts)
