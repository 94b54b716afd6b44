"""One training run: opened, built, trained, measured and saved in a folder of its own."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from tutelage.config.job import TrainConfig
from tutelage.data.loading.loader import Loader, training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.build import (
    RunModel,
    architecture_notes,
    build_run,
    initial_seed,
    preparation_notes,
    to_device,
)
from tutelage.engine.context import RunContext
from tutelage.engine.finish import finish_run
from tutelage.engine.precompute import PreparedTeacher
from tutelage.engine.run_folder import (
    begin_run,
    checkpoint_identity,
    end_run,
    is_finished,
    run_fingerprint,
    run_inputs,
    tidy_run,
)
from tutelage.engine.runtime.device import Runtime, resolve_runtime
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.runtime.precision_probe import choose_precision
from tutelage.engine.snapshots import snapshot_saver
from tutelage.engine.specialists import specialist_pack
from tutelage.engine.teachers import NetworkFactory, Teachers, open_teachers
from tutelage.engine.trackers.open import track_run
from tutelage.engine.train.compile import compile_where_it_pays, uncompile
from tutelage.engine.train.context import FitArguments
from tutelage.engine.train.loop import fit
from tutelage.engine.train.state import TrainingState
from tutelage.engine.validate import validation
from tutelage.methods.describe import describe_terms
from tutelage.models.trim_padding import trim_padding
from tutelage.teachers.load import require_channels

Networks = Mapping[str, NetworkFactory]
"""Factories of modules of the caller's own, by the network they stand for: `teacher`, `student`."""


class OpenedRun(NamedTuple):
    """A run whose inputs are there."""

    settings: TrainConfig

    pack: Pack
    """The images as the run sees them."""

    teachers: Teachers

    network: nn.Module | None
    """A module of the caller's own; None: the network that the settings name."""

    factory: NetworkFactory | None
    """What made it, for peers that are one more like it."""

    inputs: Mapping[str, Any]
    """What makes two runs the same run; see `run_inputs`."""

    facts: dict[str, str]
    """What `run.json` holds: name, fingerprint, pack."""


class BuiltRun(NamedTuple):
    """A run on its device, ready to train."""

    model: RunModel

    teacher: PreparedTeacher

    state: TrainingState

    loader: Loader

    runtime: Runtime


def train_one(
    settings: TrainConfig,
    pack: Pack,
    context: RunContext,
    *,
    network: NetworkFactory | None = None,
    teacher_networks: Sequence[NetworkFactory | None] = (),
) -> Path:
    """Train, measure and save one network; a finished run of the same settings is returned as it is.

    Args:
        settings: of the run; `settings.teacher` are folders.
        pack: the images.
        context: of the run.
        network: makes a network of the caller's own instead of `settings.model`, given the class count.
        teacher_networks: the same for each of `settings.teacher`; see `open_teachers`.

    Returns:
        The run folder.

    Raises:
        InputError: the folder holds another run, or an input is refused.
        DivergedError, Interrupted: see `engine.train.loop.fit`.
    """
    if settings.is_specialist and not settings.specialist.classes:
        context.line("no group of classes is left for it")
        return context.folder
    opened = _open(settings, pack, context, network, teacher_networks)
    if is_finished(context.folder, opened.facts["fingerprint"]):
        tidy_run(context.folder, context.world)
        context.line("done before, kept")
        return context.folder
    built = _build(opened, context)
    with _event_log(opened, built, context) as log:
        _train(opened, built, context, log)
        _finish(opened, built, context, log)
    if context.world.first:
        end_run(context.folder, opened.settings, opened.facts)
    context.world.wait()
    return context.folder


def _open(
    settings: TrainConfig,
    pack: Pack,
    context: RunContext,
    factory: NetworkFactory | None,
    teacher_networks: Sequence[NetworkFactory | None],
) -> OpenedRun:
    """Load the teachers, make the caller's own module, and name the run by all that goes into it."""
    classes, pack = pack.classes, specialist_pack(settings, pack)
    torch.manual_seed(initial_seed(settings))
    network = factory(len(pack.classes)) if factory else None
    if network is not None:
        settings = dataclasses.replace(settings, model=type(network).__name__)
    teachers = open_teachers(settings, classes, teacher_networks)
    require_channels(teachers.models, len(pack.mean))
    inputs = run_inputs(settings, pack, teachers.networks, network)
    facts = {
        "name": context.name,
        "fingerprint": run_fingerprint(inputs),
        "pack": pack.fingerprint,
    }
    return OpenedRun(settings, pack, teachers, network, factory, inputs, facts)


def _build(opened: OpenedRun, context: RunContext) -> BuiltRun:
    """Build network and method, put them on the device, and prepare the teachers."""
    settings, pack, world = opened.settings, opened.pack, context.world
    requested = resolve_runtime(settings)
    model = build_run(
        settings,
        pack,
        opened.teachers,
        device=requested.device,
        network=opened.network,
        factory=opened.factory,
    )
    runtime = choose_precision(
        requested,
        settings,
        model.built.classifier,
        size=pack.image_size,
        batch_size=settings.batch_size,
        name=settings.model,
        file=context.caches
        / "precision.json",  # one choice for all students of a teacher's outputs
        world=world,
        say=context.console.line,
    )
    if world.first:
        in_job = context.reference is not None
        begin_run(context.folder, settings, opened.facts, runtime, in_job=in_job)
    to_device(model.method, runtime, world, compiled=settings.compile == "yes")
    # Teacher outputs must not depend on what is faster for one of the students.
    teacher = model.teachers.prepare(pack, model.method, context, requested, shares=model.shares)
    loader = training_loader(
        pack,
        batch_size=settings.batch_size,
        views=settings,
        seed=settings.seed,
        device=runtime.device,
        world=world,
        partners=model.method.wants_partners,
        dustbin=settings.is_specialist,
    )
    state = TrainingState(model.method, settings, runtime, world)
    state.compiled_for = compile_where_it_pays(
        model.built.classifier,
        settings,
        settings,
        runtime,
        size=pack.image_size,
        images=loader.images,
        say=context.line,
    )
    return BuiltRun(model, teacher, state, loader, runtime)


def _train(opened: OpenedRun, built: BuiltRun, context: RunContext, log: EventLog | None) -> None:
    """Train to the last epoch, from the newest checkpoint where there is one."""
    settings, pack, model = opened.settings, opened.pack, built.model
    notes = [*architecture_notes(model), *preparation_notes(model.teachers, opened.pack)]
    said = [model.built.normalization] if model.built.weights.kind == "file" else []
    for line in (_headline(settings, built), *said, *(f"note: {note}" for note in notes)):
        context.line(line)
    arguments = FitArguments(
        context=context,
        settings=settings,
        loader=built.loader,
        teacher=built.teacher.teacher,
        validate=validation(pack, built.runtime, context),
        identity=checkpoint_identity(opened.inputs, pack, built.runtime, context.world),
        facts={
            "computes": str(built.runtime),
            "processes": context.world.size,
            "weights": str(model.built.weights),
            "normalization": model.built.normalization,
            "teacher": built.teacher.mode._asdict() if built.teacher.mode else None,
            "teachers": model.teachers.summary(model.shares),
            "terms": describe_terms(model.method),
        },
        journal=log,
        notes=notes,
        save_snapshot=snapshot_saver(settings, pack, context),
    )
    fit(built.state, arguments)


def _finish(opened: OpenedRun, built: BuiltRun, context: RunContext, log: EventLog | None) -> None:
    """Measure and save what will be deployed: the network as it is used, not as it was trained."""
    for network in (built.state.measured, *built.model.method.companions):
        trim_padding(network, on=False)
    uncompile(built.state.measured)
    if log is not None:
        finish_run(
            built.state,
            opened.settings,
            opened.pack,
            context,
            weights=built.model.built.weights,
            teacher_seconds=built.teacher.seconds,
            teachers=built.model.teachers,
        )
        log.write("end")


def _event_log(
    opened: OpenedRun, built: BuiltRun, context: RunContext
) -> contextlib.AbstractContextManager[EventLog | None]:
    """Open the event log of a run, which the first process writes and trackers follow."""
    if not context.world.first:
        return contextlib.nullcontext()
    tracking = track_run(
        opened.settings,
        context,
        identity=opened.facts["fingerprint"],
        timings=lambda: built.state.epoch_timings,
    )
    return contextlib.closing(EventLog(context.folder / "journal.jsonl", observer=tracking))


def _headline(settings: TrainConfig, built: BuiltRun) -> str:
    """Describe in one line what begins now."""
    network, weights = built.model.built.classifier.network, built.model.built.weights
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    start = "random weights" if weights.kind == "none" else f"weights: {weights}"
    return (
        f"{settings.model}, {millions:.2f} M parameters, {start}; "
        f"{settings.epochs} epochs of {built.loader.images} images, batch {settings.batch_size}, "
        f"{settings.optimizer} {settings.lr:g} {settings.schedule}, seed {settings.seed}"
    )
