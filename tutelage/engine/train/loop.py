"""The training loop. Methods, losses and teachers are what differs; this does not.

What is not here: device moves (loader), precision (runtime), who teaches (teacher), what is compared
(method), drawing (screen). Nothing in a step waits for the device.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from tutelage.data.loading.loader import Loader
from tutelage.distributed import World
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.engine.runtime.journal import format_terms
from tutelage.engine.runtime.process_group import agreed_stop, watch_peers
from tutelage.engine.runtime.progress import format_duration, progress_bar
from tutelage.engine.train.context import FitArguments
from tutelage.engine.train.grad_norms import gradient_norms
from tutelage.engine.train.nonfinite_guard import READ_EVERY
from tutelage.engine.train.nonfinite_report import (
    report_skipped_steps,
    require_any_step,
    require_finite_weights,
)
from tutelage.engine.train.resume import resume_training
from tutelage.engine.train.schedules import learning_rate
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.errors import Interrupted
from tutelage.models.snapshots import snapshot_epochs
from tutelage.models.weights import fingerprint_of
from tutelage.types import Batch, LossOutput, Progress

CHECKPOINT_SECONDS = 120.0


def fit(state: TrainingState, args: FitArguments) -> None:
    """Train to the last epoch, from wherever the run's checkpoint stands.

    Raises:
        DivergedError: too many steps whose loss or gradient is not finite, or a weight that is not.
        Interrupted: asked to stop; a checkpoint has been saved.
        MachineError: another process of this run has ended.
    """
    with watch_peers(args.context.world), closing(_begin(state, args)) as saver:
        _epochs(state, args, saver)
    args.context.console.clear()


def _epochs(state: TrainingState, args: FitArguments, saver: CheckpointWriter) -> None:
    settings, loader, method = args.settings, args.loader, state.method
    shares = _shares(loader, settings.grad_accum_steps)
    steps_per_epoch = _steps_per_epoch(args)
    saved, began = time.monotonic(), state.epoch
    while state.epoch < settings.epochs:
        method.train()
        clock = _Clock(state, args)
        for batch in clock.watch(loader.epoch(state.epoch, start=state.batch)):
            progress = Progress(
                state.epoch, state.step, state.step / (settings.epochs * steps_per_epoch)
            )
            last = (state.batch + 1) % settings.grad_accum_steps == 0 or state.batch + 1 == len(
                loader
            )
            share = shares[state.batch]
            outcome, total = train_step(
                state,
                batch,
                args.teacher(batch, progress),
                progress,
                rate=learning_rate(settings, at=state.step, steps_per_epoch=steps_per_epoch),
                clip=settings.clip_grad,
                share=share,
                last=last,
                watch=_watch(state, args, progress),
            )
            state.sums.add(outcome, total, method.weights_at(progress))
            state.batch += 1
            if state.guard.full:
                report_skipped_steps(state.guard, state.masked, args)
            saver.look()
            if last and _pause(state, args, due=time.monotonic() - saved > CHECKPOINT_SECONDS):
                _save(state, args, saver)
                saved = time.monotonic()
        _close_epoch(state, args, clock, saver)
    if state.epoch > began:  # what measures the network can be interrupted, too
        _save(state, args, saver)


def _watch(
    state: TrainingState, args: FitArguments, progress: Progress
) -> Callable[[LossOutput], None] | None:
    """Log the gradient norm of each term, at the first batch of the first and the last epoch."""
    if state.batch or state.epoch not in (0, args.settings.epochs - 1):
        return None
    if len(state.method.weights) < 2:
        return None

    def watch(outcome: LossOutput) -> None:
        norms = gradient_norms(state, outcome, progress)
        if args.journal is not None:
            args.journal.write("gradients", epoch=state.epoch + 1, norms=norms)

    return watch


def _steps_per_epoch(args: FitArguments) -> int:
    return -(-len(args.loader) // args.settings.grad_accum_steps)


def _shares(loader: Loader, accumulate: int) -> list[float]:
    """Compute each batch's share of its optimizer step, by images: a smaller last batch counts less."""
    sizes = loader.sizes()
    groups = [sizes[low : low + accumulate] for low in range(0, len(sizes), accumulate)]
    return [size / sum(group) for group in groups for size in group]


def _pause(state: TrainingState, args: FitArguments, *, due: bool) -> bool:
    """Return whether to checkpoint now, alike on all ranks: the interval is over, or one got a signal."""
    if args.context.world.size == 1:
        return due or bool(args.context.stop)
    device = state.runtime.device
    if device.type != "cpu" and state.step % READ_EVERY:
        return False  # asking waits for the device
    wish = float(args.context.stop.signal or (0.5 if due and args.context.world.first else 0.0))
    agreed = agreed_stop(wish, device)
    if agreed >= 1:
        args.context.stop.signal = int(agreed)
    return agreed > 0


def _begin(state: TrainingState, args: FitArguments) -> CheckpointWriter:
    """Resume from the newest checkpoint, or start; return the writer of the next ones."""
    journal = args.journal
    saver, continued = resume_training(
        state,
        args.context.folder,
        identity=args.identity,
        journal=journal,
        say=lambda text: args.context.line(text),
    )
    if journal is not None and not continued:
        journal.write("begin", **args.facts)
        for note in args.notes:
            journal.write("note", text=note)
    return saver


def _save(state: TrainingState, args: FitArguments, saver: CheckpointWriter) -> None:
    """Save a checkpoint; if a stop was requested, wait until it is written and raise Interrupted."""
    report_skipped_steps(state.guard, state.masked, args)
    require_finite_weights(state.method, args)
    journal = args.journal
    checkpoint = state.checkpoint(
        identity=args.identity, journal=journal.position() if journal is not None else 0
    )
    if journal is not None:
        saver.save(checkpoint, step=state.step, before=journal.sync)
    if args.context.stop:
        saver.settle(last=True)
        args.context.world.wait()
        args.context.console.clear()
        epoch = min(state.epoch + 1, args.settings.epochs)
        raise Interrupted(
            f"stopped in epoch {epoch} after step {state.step}; nothing is lost",
            where=args.context.folder,
        )


def _close_epoch(
    state: TrainingState, args: FitArguments, clock: "_Clock", saver: CheckpointWriter
) -> None:
    report_skipped_steps(state.guard, state.masked, args)
    require_any_step(state.masked, args, epoch=state.epoch)
    if len(set(args.context.world.all_gather(_weights_name(state, args.context.world)))) > 1:
        raise RuntimeError("the processes of this run no longer hold the same weights")
    train = state.sums.read()
    timings = clock.timings()  # speed and waiting are those of training alone, seconds those of all
    try:
        metrics = args.validate(state)
    except Interrupted:  # it is done again when the run goes on
        _save(state, args, saver)
        raise
    state.epoch_timings.append({**timings, "seconds": clock.timings()["seconds"]})
    task = args.context.task
    state.note_best(task.value(metrics))
    # Of the epoch's last step, by the schedule: after a resume the optimizer may not know it yet.
    rate = learning_rate(args.settings, at=state.step - 1, steps_per_epoch=_steps_per_epoch(args))
    val = dict(task.summary(metrics))
    if args.journal is not None:
        args.journal.write("epoch", epoch=state.epoch + 1, lr=rate, train=train, val=val)
    best = f"(best {100 * state.best.accuracy:.1f} in epoch {state.best.epoch})"
    args.context.console.line(
        f"{args.context.name}: epoch {state.epoch + 1}/{args.settings.epochs}"
        f"  {format_terms(train['terms'])}  validation {task.text(metrics)} {best}"
        f"  {format_duration(state.epoch_timings[-1]['seconds'])}"
    )
    # What is kept is a function of the epoch: where an interruption makes it twice, it is made the same.
    if state.epoch + 1 in snapshot_epochs(args.settings.keep_checkpoints, args.settings.epochs):
        if args.context.world.first:
            args.save_snapshot(state)
        args.context.world.wait()
    state.next_epoch()


def _weights_name(state: TrainingState, world: World) -> str:
    return fingerprint_of(state.method) if world.size > 1 else ""


class _Clock:
    """Time an epoch and the waiting for data in it, and update the live view."""

    def __init__(self, state: TrainingState, args: FitArguments) -> None:
        self._state, self._args = state, args
        self._begin = time.monotonic()
        self._waited = 0.0
        self._images = 0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass the batches on."""
        before = time.monotonic()
        for number, batch in enumerate(batches):
            self._waited += time.monotonic() - before
            yield batch
            self._images += batch.whole or len(batch.ids)
            if number % READ_EVERY == 0:
                self._show()
            before = time.monotonic()

    def timings(self) -> dict[str, float]:
        """Return seconds, images a second and the share of time spent waiting for data."""
        seconds = max(time.monotonic() - self._begin, 1e-9)
        return {
            "seconds": round(seconds, 3),
            "images_per_second": round(self._images / seconds, 1),
            "data_wait": round(self._waited / seconds, 4),
        }

    def _show(self) -> None:
        state, args = self._state, self._args
        done = (state.epoch + state.batch / len(args.loader)) / args.settings.epochs
        speed = self.timings()
        images = (1 - done) * args.settings.epochs * args.loader.images
        left = images / max(speed["images_per_second"], 1e-9)
        args.context.console.status(
            f"{args.context.name}: epoch {state.epoch + 1}/{args.settings.epochs} {progress_bar(done)} "
            f"{format_terms(state.sums.read()['terms'])}  {speed['images_per_second']:.0f} images/s, "
            f"waiting for data {100 * speed['data_wait']:.0f} %, {format_duration(left)} left",
            done=done,
            left=left,
        )
