"""One run: a network trained alone or taught, measured, and saved in a folder of its own."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tutelage.asking import Surroundings
from tutelage.companions import beside
from tutelage.data.loader import training_loader
from tutelage.data.pack import Pack
from tutelage.engine.batchnorm import share_statistics
from tutelage.engine.compiling import compile_where_it_pays, uncompile
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.journal import Journal, Screen
from tutelage.engine.loop import Course, fit
from tutelage.engine.precision import resolve
from tutelage.engine.probe import settle_precision
from tutelage.engine.state import TrainingState
from tutelage.finish import finish
from tutelage.keeping import keeper
from tutelage.losses.term import Term
from tutelage.methods.description import described, unlike
from tutelage.methods.method import Method
from tutelage.methods.offline import supervised
from tutelage.methods.table import METHODS
from tutelage.methods.teaching import Lesson, make_method
from tutelage.models.build import Built, build
from tutelage.models.padding import skip_padding
from tutelage.models.preprocess import Classifier
from tutelage.panel import Maker, open_teachers, open_word, told, weigh
from tutelage.run_folder import (
    begin,
    end,
    is_finished,
    run_fingerprint,
    run_inputs,
    tidy,
    training_identity,
)
from tutelage.settings import UNTAUGHT, Single
from tutelage.specialist import go_on, own_view
from tutelage.validating import validation
from tutelage.world import ALONE, World

Networks = Mapping[str, Maker]


class Place(NamedTuple):
    """Where a run lives and what it shares with others.

    folder: of the run; caches: where teachers' answers are kept; reference: within a job, the run folder of
    the teacher that its students and controls are measured against; world: the processes that do this
    run together.
    """

    name: str
    folder: Path
    caches: Path
    screen: Screen
    stop: StopRequest
    reference: Path | None = None
    world: World = ALONE


def run_single(
    settings: Single,
    pack: Pack,
    place: Place,
    *,
    make: Maker | None = None,
    makers: Sequence[Maker | None] = (),
) -> Path:
    """Train, measure and save one network; a finished run of the same settings is returned as it is.

    Args:
        settings: of the run; `settings.teacher` are folders.
        pack: the pictures.
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
    asked_with = runtime = resolve(settings)
    classes, pack = pack.classes, own_view(settings, pack)
    first = settings.seed if settings.init_seed is None else settings.init_seed
    torch.manual_seed(first)
    network = make(len(pack.classes)) if make else None
    if network is not None:
        settings = dataclasses.replace(settings, model=type(network).__name__)
    teachers = open_teachers(settings, classes, makers)
    finished = [teacher.classifier for teacher in teachers]
    inputs = run_inputs(settings, pack, finished, network)
    identity = run_fingerprint(inputs)
    if is_finished(place.folder, identity):
        tidy(place.folder, place.world)
        place.screen.line(f"{place.name}: done before, kept")
        return place.folder
    facts = {"name": place.name, "fingerprint": identity, "pack": pack.fingerprint}
    world = place.world
    going_on = settings.role == "specialist" and bool(teachers)
    built = build(
        dataclasses.replace(settings, weights="none") if going_on else settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=first,
        network=network,
    )
    if going_on:
        built, teachers, finished = go_on(built, Path(settings.teacher[0])), [], []
    shares = weigh(settings, finished, pack, asked_with.device)
    others = finished
    about = METHODS[settings.method]
    if is_taught(settings) and not (about.taught or about.planned):
        others = beside(settings, pack, make)
    method = _method(settings, built.classifier, others, pack, shares)
    runtime = settle_precision(
        runtime,
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
        begin(place.folder, settings, facts, runtime, in_job=place.reference is not None)
    plain = runtime.device.type == "cpu" and settings.compile != "yes"
    # Student, companions, and what only listens, such as an average.
    for inside in [m for m in method.modules() if isinstance(m, Classifier)]:
        runtime.place(inside)
        skip_padding(inside.network, on=plain)
        share_statistics(inside, runtime.device, world)
    method.to(runtime.device)
    terms = [m for m in method.modules() if isinstance(m, Term) and not m.across_batch]
    for part in (*terms, *method.attachments):
        share_statistics(part, runtime.device, world)
    # The teacher's answers must not depend on what is faster for one of its students.
    around = Surroundings(place.name, place.caches, asked_with, place.screen, place.stop, world)
    word = open_word(teachers, settings, pack, method, around, shares=shares)
    loader = training_loader(
        pack,
        batch_size=settings.batch_size,
        views=settings,
        seed=settings.seed,
        device=runtime.device,
        world=world,
        partners=method.wants_partners,
        dustbin=settings.role == "specialist",
    )
    state = TrainingState(method, settings, runtime, world)
    state.compiled_for = compile_where_it_pays(
        built.classifier,
        settings,
        settings,
        runtime,
        size=pack.image_size,
        images=loader.images,
        say=lambda line: place.screen.line(f"{place.name}: {line}"),
    )
    _say(place, settings, built, images=loader.images)
    notes = [
        note
        for number, teacher in enumerate(others)
        for note in unlike(method, built.classifier, teacher, number=number)
    ]
    notes = list(dict.fromkeys(notes))  # several teachers may be of one kind
    for note in notes:
        place.screen.line(f"{place.name}: note: {note}")
    with _journal(place) as journal:
        course = Course(
            name=place.name,
            settings=settings,
            loader=loader,
            teacher=word.teacher,
            validate=validation(pack, runtime, place.stop, world),
            identity=training_identity(inputs, pack, runtime, world),
            facts={
                "computes": str(runtime),
                "processes": world.size,
                "teacher": word.mode._asdict() if word.mode else None,
                "teachers": told(settings, teachers, shares),
                "terms": described(method),
            },
            folder=place.folder,
            journal=journal,
            screen=place.screen,
            stop=place.stop,
            world=world,
            notes=notes,
            keep=keeper(settings, pack, place.folder, name=place.name),
        )
        fit(state, course)
        # What is measured is what will be deployed.
        for learner in (state.measured, *method.companions):
            skip_padding(learner, on=False)
        uncompile(state.measured)
        if journal is not None:
            finish(
                state,
                settings,
                pack,
                name=place.name,
                folder=place.folder,
                runtime=runtime,
                weights=built.weights,
                reference=place.reference or next(map(Path, settings.teacher), None),
                teacher_seconds=word.seconds,
                teachers=teachers,
                stop=place.stop,
            )
            journal.write("end")
    if world.first:
        end(place.folder, settings, facts)
    world.wait()
    return place.folder


def _journal(place: Place) -> contextlib.AbstractContextManager[Journal | None]:
    """The journal of a run, which the first process writes."""
    if not place.world.first:
        return contextlib.nullcontext()
    return contextlib.closing(Journal(place.folder / "journal.jsonl"))


def is_taught(settings: Single) -> bool:
    """Whether anyone teaches: not where a teacher or a control is made, or a finished one is missing."""
    about = METHODS[settings.method]
    if settings.role in UNTAUGHT:
        return False
    # Generation zero teaches itself as little as a student without its teacher is taught.
    return bool(settings.teacher) or not (about.taught or about.planned)


def _method(
    settings: Single,
    student: Classifier,
    others: Sequence[Classifier],
    pack: Pack,
    shares: tuple[float, ...],
) -> Method:
    if not is_taught(settings):
        return supervised(student, label_smoothing=settings.label_smoothing)
    lesson = Lesson(
        epochs=settings.epochs,
        classes=len(pack.classes),
        ids=torch.from_numpy(pack.rows("train")),
        size=pack.image_size,
        label_smoothing=settings.label_smoothing,
        seed=settings.seed,
        shares=shares,
    )
    return make_method(settings, student, others, lesson)


def _say(place: Place, settings: Single, built: Built, *, images: int) -> None:
    millions = sum(p.numel() for p in built.classifier.network.parameters()) / 1e6
    start = "random weights" if built.weights.kind == "none" else f"weights: {built.weights}"
    place.screen.line(
        f"{place.name}: {settings.model}, {millions:.2f} M parameters, {start}; "
        f"{settings.epochs} epochs of {images} images, batch {settings.batch_size}, "
        f"{settings.optimizer} {settings.lr:g} {settings.schedule}, seed {settings.seed}"
    )
