"""One run: a network trained alone or taught, measured, and saved in a folder of its own."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from tutelage.config import fingerprint, table
from tutelage.data.loader import training_loader
from tutelage.data.pack import Pack
from tutelage.engine.environment import environment
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.journal import Journal, Screen
from tutelage.engine.loop import Course, fit
from tutelage.engine.precision import Runtime, resolve
from tutelage.engine.state import TrainingState
from tutelage.errors import DivergedError
from tutelage.evaluation.metrics import Metrics, score
from tutelage.evaluation.reading import read_logits
from tutelage.files import read_json, write_bytes, write_json
from tutelage.finish import finish
from tutelage.losses.settings import weights as term_weights
from tutelage.losses.table import make_terms
from tutelage.methods.method import Method
from tutelage.methods.offline import Offline, supervised
from tutelage.models.build import Built, build
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import fingerprint_of
from tutelage.nouns import Batch, Signal
from tutelage.settings import Single
from tutelage.teachers.cache import Identity, open_cache, write_cache
from tutelage.teachers.live import Live
from tutelage.teachers.open import open_teacher
from tutelage.teachers.source import Teacher, nobody
from tutelage.toml import to_toml

FORMAT = 1

Maker = Callable[[int], nn.Module]
Networks = Mapping[str, Maker]


class Place(NamedTuple):
    """Where a run lives and what it shares with others.

    folder: of the run; caches: where teachers' logits are kept; reference: within a job, the run folder
    of the teacher that its students and controls are measured against.
    """

    name: str
    folder: Path
    caches: Path
    screen: Screen
    stop: StopRequest
    reference: Path | None = None


class Word(NamedTuple):
    """A teacher ready to speak, who it is, and how long its pass over the pictures took."""

    teacher: Teacher
    fingerprint: str
    seconds: float | None


def run_single(settings: Single, pack: Pack, place: Place, *, make: Maker | None = None) -> Path:
    """Train, measure and save one network; a finished run of the same settings is returned as it is.

    Args:
        settings: of the run; `settings.teacher` is a folder or None.
        pack: the pictures.
        place: its folder and surroundings.
        make: makes a network of the caller's own instead of `settings.model`, given the class count.

    Returns:
        The run folder.

    Raises:
        InputError: the folder holds another run, or an input is refused.
        DivergedError, Interrupted: see `engine.loop.fit`.
    """
    runtime = resolve(settings)
    torch.manual_seed(settings.seed)
    network = make(len(pack.classes)) if make else None
    if network is not None:
        settings = dataclasses.replace(settings, model=type(network).__name__)
    teacher = (
        open_teacher(Path(settings.teacher), pack.classes).classifier if settings.teacher else None
    )
    identity = run_fingerprint(settings, pack, teacher, network)
    if is_finished(place.folder, identity):
        place.screen.line(f"{place.name}: done before, kept")
        return place.folder
    _begin(place, settings, identity, runtime)
    built = build(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=settings.seed,
        network=network,
    )
    runtime.place(built.classifier)
    word = _word(teacher, settings, pack, place, runtime)
    method = _method(settings, built.classifier)
    state = TrainingState(method, settings, runtime.device)
    _say(place, settings, built, pack)
    with contextlib.closing(Journal(place.folder / "journal.jsonl")) as journal:
        course = Course(
            name=place.name,
            settings=settings,
            loader=training_loader(
                pack,
                batch_size=settings.batch_size,
                views=settings,
                seed=settings.seed,
                device=runtime.device,
            ),
            teacher=word.teacher,
            validate=lambda state: _validate(state, pack, runtime),
            runtime=runtime,
            fingerprint=identity,
            folder=place.folder,
            journal=journal,
            screen=place.screen,
            stop=place.stop,
        )
        fit(state, course)
        finish(
            state,
            settings,
            pack,
            name=place.name,
            folder=place.folder,
            runtime=runtime,
            weights=built.weights,
            reference=Path(settings.teacher) if settings.teacher else place.reference,
            teacher_seconds=word.seconds,
        )
        journal.write("end")
    _end(place, settings, identity)
    return place.folder


def run_fingerprint(
    settings: Single, pack: Pack, teacher: Classifier | None, network: nn.Module | None
) -> str:
    """What makes two runs the same run: settings, pictures, teacher, own network."""
    plain = {key: value for key, value in table(settings).items() if key not in ("data", "teacher")}
    return fingerprint(
        FORMAT,
        plain,
        pack.fingerprint,
        fingerprint_of(teacher.network) if teacher else None,
        fingerprint_of(network) if network else None,
    )


def is_finished(folder: Path, identity: str) -> bool:
    """Whether a run folder holds this very run, complete."""
    path = folder / "run.json"
    if not path.is_file():
        return False
    facts = read_json(path)
    return bool(facts.get("fingerprint") == identity and facts.get("finished"))


def _begin(place: Place, settings: Single, identity: str, runtime: Runtime) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.reference or not (place.folder / "config.toml").exists():
        plain = table(settings)
        if settings.teacher and place.reference:
            plain["teacher"] = f"../{Path(settings.teacher).name}"  # a job can be moved as a whole
        write_bytes(place.folder / "config.toml", to_toml(plain).encode())
    write_json(place.folder / "environment.json", environment(runtime))
    _mark(place, settings, identity, finished=False)


def _end(place: Place, settings: Single, identity: str) -> None:
    _mark(place, settings, identity, finished=True)
    checkpoint = place.folder / "checkpoint"
    for file in checkpoint.glob("*"):
        file.unlink()
    if checkpoint.is_dir():
        checkpoint.rmdir()


def _mark(place: Place, settings: Single, identity: str, *, finished: bool) -> None:
    facts = {
        "format": FORMAT,
        "kind": "run",
        "name": place.name,
        "role": settings.role,
        "seed": settings.seed,
        "fingerprint": identity,
        "finished": finished,
    }
    write_json(place.folder / "run.json", facts)


def _method(settings: Single, student: Classifier) -> Method:
    if settings.teacher is None:
        return supervised(student, label_smoothing=settings.label_smoothing)
    terms = make_terms(settings, label_smoothing=settings.label_smoothing)
    return Offline(student, terms, term_weights(settings))


def _word(
    teacher: Classifier | None, settings: Single, pack: Pack, place: Place, runtime: Runtime
) -> Word:
    """The teacher as a source of signals: from a cache where views are fixed, else live."""
    if teacher is None:
        return Word(nobody, "", None)
    runtime.place(teacher)
    live, name = Live(teacher), fingerprint_of(teacher.network)

    def ask(batch: Batch) -> Signal:
        with runtime.cast():
            return live(batch)

    if not settings.fixed:
        place.screen.line(f"{place.name}: the teacher looks at each view live, as views differ")
        return Word(ask, name, None)
    identity = Identity(
        teacher=name,
        pack=pack.fingerprint,
        classes=pack.classes,
        input_size=teacher.preprocess.size,
        precision=str(runtime.autocast),
    )
    folder, seconds = place.caches / fingerprint(identity.fields()), None
    if not (folder / "manifest.json").is_file():
        begin = time.monotonic()

        def progress(done: int, count: int) -> None:
            place.screen.status(
                f"{place.name}: the teacher looks once at each picture {done}/{count}"
            )

        write_cache(folder, ask, pack, identity, device=runtime.device, progress=progress)
        place.screen.clear()
        seconds = time.monotonic() - begin
    cached = open_cache(folder, identity, pack=pack, device=runtime.device)
    return Word(cached, name, seconds)


def _validate(state: TrainingState, pack: Pack, runtime: Runtime) -> Metrics:
    rows = pack.rows("val")
    rows = rows[pack.labels[rows] >= 0]
    logits = read_logits(state.measured, pack, rows, device=runtime.device, cast=runtime.cast)
    if not np.isfinite(logits).all():
        raise DivergedError(
            "training stopped itself: the network's answers are no longer finite",
            found=f"epoch {state.epoch + 1}",
            fix="a lower --lr, or --clip 1",
        )
    return score(logits, pack.labels[rows], pack.classes)


def _say(place: Place, settings: Single, built: Built, pack: Pack) -> None:
    millions = sum(p.numel() for p in built.classifier.network.parameters()) / 1e6
    start = "random weights" if built.weights.kind == "none" else f"weights: {built.weights}"
    place.screen.line(
        f"{place.name}: {settings.model}, {millions:.2f} M parameters, {start}; "
        f"{settings.epochs} epochs of {len(pack.rows('train'))} images, batch {settings.batch_size}, "
        f"{settings.optimizer} {settings.lr:g} {settings.schedule}, seed {settings.seed}"
    )
