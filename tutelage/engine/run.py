"""One run: a network trained alone or taught, measured, and saved in a folder of its own."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tutelage.config.job import TrainConfig
from tutelage.data.loading.loader import Loader, training_loader
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE, World
from tutelage.engine.build import RunModel, architecture_notes, build_run, initial_seed, to_device
from tutelage.engine.finish import finish_run
from tutelage.engine.precompute import Surroundings
from tutelage.engine.run_folder import (
    begin_run,
    checkpoint_identity,
    end_run,
    is_finished,
    run_fingerprint,
    run_inputs,
    tidy_run,
)
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import Runtime, resolve_runtime
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.runtime.precision_probe import choose_precision
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.snapshots import snapshot_saver
from tutelage.engine.specialists import specialist_pack
from tutelage.engine.teachers import (
    NetworkFactory,
    open_teachers,
    prepare_teachers,
    teacher_summary,
)
from tutelage.engine.train.compile import compile_where_it_pays, uncompile
from tutelage.engine.train.context import FitArguments
from tutelage.engine.train.loop import fit
from tutelage.engine.train.state import TrainingState
from tutelage.engine.validate import validation
from tutelage.methods.describe import describe_terms
from tutelage.models.build import BuiltModel
from tutelage.models.trim_padding import trim_padding

Networks = Mapping[str, NetworkFactory]


class Place(NamedTuple):
    """Where a run lives and what it shares with others.

    folder: of the run; caches: where teachers' answers are kept; reference: within a job, the run folder of
    the teacher that its students and controls are measured against; world: the processes that do this
    run together.
    """

    name: str
    folder: Path
    caches: Path
    screen: Console
    stop: StopRequest
    reference: Path | None = None
    world: World = ALONE


def train_one(
    settings: TrainConfig,
    pack: Pack,
    place: Place,
    *,
    make: NetworkFactory | None = None,
    makers: Sequence[NetworkFactory | None] = (),
) -> Path:
    """Train, measure and save one network; a finished run of the same settings is returned as it is.

    Args:
        settings: of the run; `settings.teacher` are folders.
        pack: the images.
        place: its folder and surroundings.
        make: makes a network of the caller's own instead of `settings.model`, given the class count.
        makers: the same for each of `settings.teacher`; see `open_teachers`.

    Returns:
        The run folder.

    Raises:
        InputError: the folder holds another run, or an input is refused.
        DivergedError, Interrupted: see `engine.loop.fit`.
    """
    if settings.role == "specialist" and not settings.specialist.classes:
        place.screen.line(f"{place.name}: no group of classes is left for it")
        return place.folder
    asked_with, world = resolve_runtime(settings), place.world
    classes, pack = pack.classes, specialist_pack(settings, pack)
    torch.manual_seed(initial_seed(settings))
    network = make(len(pack.classes)) if make else None
    if network is not None:
        settings = dataclasses.replace(settings, model=type(network).__name__)
    teachers = open_teachers(settings, classes, makers)
    inputs = run_inputs(settings, pack, [one.classifier for one in teachers], network)
    identity = run_fingerprint(inputs)
    if is_finished(place.folder, identity):
        tidy_run(place.folder, world)
        place.screen.line(f"{place.name}: done before, kept")
        return place.folder
    facts = {"name": place.name, "fingerprint": identity, "pack": pack.fingerprint}
    learner = build_run(
        settings, pack, teachers, device=asked_with.device, network=network, make=make
    )
    built, method = learner.built, learner.method
    runtime = choose_precision(
        asked_with,
        settings,
        built.classifier,
        size=pack.image_size,
        batch_size=settings.batch_size,
        name=settings.model,
        file=place.caches / "precision.json",  # one choice for all students of a teacher's answers
        world=world,
        say=place.screen.line,
    )
    if world.first:
        begin_run(place.folder, settings, facts, runtime, in_job=place.reference is not None)
    to_device(method, runtime, world, compiled=settings.compile == "yes")
    # The teacher's answers must not depend on what is faster for one of its students.
    around = Surroundings(place.name, place.caches, asked_with, place.screen, place.stop, world)
    word = prepare_teachers(learner.teachers, settings, pack, method, around, shares=learner.shares)
    state, loader = _begin_state(settings, pack, place, learner, runtime)
    notes = architecture_notes(learner)
    for line in (_in_a_line(settings, built, images=loader.images), *(f"note: {n}" for n in notes)):
        place.screen.line(f"{place.name}: {line}")
    with _journal(place) as journal:
        course = FitArguments(
            name=place.name,
            settings=settings,
            loader=loader,
            teacher=word.teacher,
            validate=validation(pack, runtime, place.stop, world),
            identity=checkpoint_identity(inputs, pack, runtime, world),
            facts={
                "computes": str(runtime),
                "processes": world.size,
                "teacher": word.mode._asdict() if word.mode else None,
                "teachers": teacher_summary(settings, learner.teachers, learner.shares),
                "terms": describe_terms(method),
            },
            folder=place.folder,
            journal=journal,
            screen=place.screen,
            stop=place.stop,
            world=world,
            notes=notes,
            keep=snapshot_saver(settings, pack, place.folder, name=place.name),
        )
        fit(state, course)
        # What is measured is what will be deployed.
        for trained in (state.measured, *method.companions):
            trim_padding(trained, on=False)
        uncompile(state.measured)
        if journal is not None:
            finish_run(
                state,
                settings,
                pack,
                name=place.name,
                folder=place.folder,
                runtime=runtime,
                weights=built.weights,
                reference=place.reference or next(map(Path, settings.teacher), None),
                teacher_seconds=word.seconds,
                teachers=learner.teachers,
                stop=place.stop,
            )
            journal.write("end")
    if world.first:
        end_run(place.folder, settings, facts)
    world.wait()
    return place.folder


def _begin_state(
    settings: TrainConfig, pack: Pack, place: Place, learner: RunModel, runtime: Runtime
) -> tuple[TrainingState, Loader]:
    """Where training begins, compiled where that pays, and the batches it will be given."""
    loader = training_loader(
        pack,
        batch_size=settings.batch_size,
        views=settings,
        seed=settings.seed,
        device=runtime.device,
        world=place.world,
        partners=learner.method.wants_partners,
        dustbin=settings.role == "specialist",
    )
    state = TrainingState(learner.method, settings, runtime, place.world)
    state.compiled_for = compile_where_it_pays(
        learner.built.classifier,
        settings,
        settings,
        runtime,
        size=pack.image_size,
        images=loader.images,
        say=lambda line: place.screen.line(f"{place.name}: {line}"),
    )
    return state, loader


def _journal(place: Place) -> contextlib.AbstractContextManager[EventLog | None]:
    """The journal of a run, which the first process writes."""
    if not place.world.first:
        return contextlib.nullcontext()
    return contextlib.closing(EventLog(place.folder / "journal.jsonl"))


def _in_a_line(settings: TrainConfig, built: BuiltModel, *, images: int) -> str:
    """What begins now, in a line."""
    millions = sum(p.numel() for p in built.classifier.network.parameters()) / 1e6
    start = "random weights" if built.weights.kind == "none" else f"weights: {built.weights}"
    return (
        f"{settings.model}, {millions:.2f} M parameters, {start}; "
        f"{settings.epochs} epochs of {images} images, batch {settings.batch_size}, "
        f"{settings.optimizer} {settings.lr:g} {settings.schedule}, seed {settings.seed}"
    )
