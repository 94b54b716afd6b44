"""The training loop. Methods, losses and teachers are what differs; this does not.

What is not here: device moves (loader), precision (runtime), who teaches (teacher), what is compared
(method), drawing (screen). Nothing in a step waits for the device.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from tutelage.data.loader import Loader
from tutelage.engine.checkpoint import load_checkpoint, save_checkpoint
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.journal import Journal, Screen, bar, duration, terms_text
from tutelage.engine.optim import clip_gradient, learning_rate, set_learning_rate
from tutelage.engine.precision import Runtime
from tutelage.engine.settings import Training
from tutelage.engine.state import TrainingState
from tutelage.errors import Interrupted
from tutelage.evaluation.metrics import Metrics
from tutelage.nouns import Batch, Progress
from tutelage.teachers.source import Teacher

CHECKPOINT_SECONDS = 120.0
READ_EVERY = 20


class Course(NamedTuple):
    """All that a training run is given, apart from what changes in it."""

    name: str
    settings: Training
    loader: Loader
    teacher: Teacher
    validate: Callable[[TrainingState], Metrics]
    runtime: Runtime
    fingerprint: str
    folder: Path
    journal: Journal
    screen: Screen
    stop: StopRequest


def fit(state: TrainingState, course: Course) -> None:
    """Train to the last epoch, from wherever the run's checkpoint stands.

    Raises:
        DivergedError: the loss is no longer finite.
        Interrupted: asked to stop; a checkpoint has been saved.
    """
    _resume(state, course)
    settings, loader, method = course.settings, course.loader, state.method
    shares = _shares(loader, settings.accumulate)
    steps_per_epoch = _steps_per_epoch(course)
    saved = time.monotonic()
    while state.epoch < settings.epochs:
        method.train()
        clock = _Clock(state, course)
        for batch in clock.watch(loader.epoch(state.epoch, start=state.batch)):
            progress = Progress(
                state.epoch, state.step, state.step / (settings.epochs * steps_per_epoch)
            )
            with course.runtime.cast():
                outcome = method(batch, course.teacher(batch), progress)
            total = method.total(outcome)
            torch.autograd.backward(total * shares[state.batch])
            state.sums.add(batch, outcome, total)
            state.batch += 1
            if state.batch % settings.accumulate and state.batch < len(loader):
                continue
            rate = learning_rate(settings, step=state.step, steps_per_epoch=steps_per_epoch)
            set_learning_rate(state.optimizer, rate)
            clip_gradient(method.parameters(), settings.clip)
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)
            state.step += 1
            method.after_step(progress)
            if state.average is not None:
                state.average.update_parameters(method.student)
            if course.stop or time.monotonic() - saved > CHECKPOINT_SECONDS:
                _save(state, course)
                saved = time.monotonic()
        _close_epoch(state, course, clock)
    course.screen.clear()


def _steps_per_epoch(course: Course) -> int:
    return -(-len(course.loader) // course.settings.accumulate)


def _shares(loader: Loader, accumulate: int) -> list[float]:
    """Each batch's share of its optimiser step, by images: a smaller last batch counts for less."""
    sizes = loader.sizes()
    groups = [sizes[low : low + accumulate] for low in range(0, len(sizes), accumulate)]
    return [size / sum(group) for group in groups for size in group]


def _resume(state: TrainingState, course: Course) -> None:
    checkpoint = load_checkpoint(course.folder / "checkpoint")
    if checkpoint is None:
        course.journal.rewind(0)
        return
    state.restore(checkpoint, fingerprint=course.fingerprint)
    course.journal.rewind(checkpoint.facts["journal"])
    course.screen.line(f"{course.name}: continued in epoch {state.epoch + 1}, step {state.step}")


def _save(state: TrainingState, course: Course) -> None:
    checkpoint = state.checkpoint(fingerprint=course.fingerprint, journal=course.journal.position())
    save_checkpoint(course.folder / "checkpoint", checkpoint)
    if course.stop:
        course.screen.clear()
        raise Interrupted(
            f"stopped in epoch {state.epoch + 1} after step {state.step}; nothing is lost",
            where=course.folder,
        )


def _close_epoch(state: TrainingState, course: Course, clock: "_Clock") -> None:
    train = state.sums.read()
    metrics = course.validate(state)
    state.note_best(metrics["accuracy"])
    state.epoch_timings.append(clock.timings())
    # Of the epoch's last step, by the schedule: after a resume the optimiser may not know it yet.
    rate = learning_rate(
        course.settings, step=state.step - 1, steps_per_epoch=_steps_per_epoch(course)
    )
    val = {"accuracy": metrics["accuracy"], "loss": metrics["nll"]}
    course.journal.write("epoch", epoch=state.epoch + 1, lr=rate, train=train, val=val)
    best = f"(best {100 * state.best.accuracy:.1f} in epoch {state.best.epoch})"
    course.screen.line(
        f"{course.name}: epoch {state.epoch + 1}/{course.settings.epochs}"
        f"  {terms_text(train['terms'])}  validation {100 * metrics['accuracy']:.1f} % {best}"
        f"  {duration(state.epoch_timings[-1]['seconds'])}"
    )
    state.next_epoch()


class _Clock:
    """Times an epoch, waiting for data apart, and keeps the live line up to date."""

    def __init__(self, state: TrainingState, course: Course) -> None:
        self._state, self._course = state, course
        self._begin = time.monotonic()
        self._waited = 0.0
        self._images = 0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Hand the batches on."""
        before = time.monotonic()
        for number, batch in enumerate(batches):
            self._waited += time.monotonic() - before
            yield batch
            self._images += len(batch.ids)
            if number % READ_EVERY == 0:
                self._show()
            before = time.monotonic()

    def timings(self) -> dict[str, float]:
        """Seconds, images a second, share of the time spent waiting for data."""
        seconds = max(time.monotonic() - self._begin, 1e-9)
        return {
            "seconds": round(seconds, 3),
            "images_per_second": round(self._images / seconds, 1),
            "data_wait": round(self._waited / seconds, 4),
        }

    def _show(self) -> None:
        state, course = self._state, self._course
        done = (state.epoch + state.batch / len(course.loader)) / course.settings.epochs
        speed = self.timings()
        left = (1 - done) * course.settings.epochs * len(course.loader.rows)
        course.screen.status(
            f"{course.name}: epoch {state.epoch + 1}/{course.settings.epochs} {bar(done)} "
            f"{terms_text(state.sums.read()['terms'])}  {speed['images_per_second']:.0f} images/s, "
            f"waiting for data {100 * speed['data_wait']:.0f} %, "
            f"{duration(left / max(speed['images_per_second'], 1e-9))} left"
        )
