"""One step: forward, backward, update. Nothing in it waits for the device."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from tutelage.engine.train.compile import run_eagerly
from tutelage.engine.train.optim import clip_gradient, set_learning_rate
from tutelage.engine.train.state import TrainingState
from tutelage.types import Batch, LossOutput, Progress, TeacherOutput


def backward(
    state: TrainingState,
    batch: Batch,
    signal: TeacherOutput,
    progress: Progress,
    *,
    share: float = 1.0,
    last: bool = True,
    phase: int = 0,
    watch: Callable[[LossOutput], None] | None = None,
) -> tuple[LossOutput, Tensor]:
    """Add a batch's gradient to what the parameters hold.

    Args:
        state: the method in training.
        batch: images of this process.
        signal: the teacher's output for them.
        progress: where training stands.
        share: the batch's weight in the coming update, by images.
        last: whether `optimizer_step` follows; processes exchange gradients only then.
        phase: of the method.
        watch: looks at the outcome before its graph is gone.

    Returns:
        The outcome, and the total that was differentiated (before `share`).
    """
    wait = contextlib.nullcontext() if last or state.parallel is None else state.parallel.no_sync()
    state.guard.begin()
    with wait:
        # A network is compiled for one size of batch; a smaller last one runs as it is written.
        # Its graph cannot be walked twice, so a step that is watched runs like that, too.
        odd = state.compiled_for is not None and (
            len(batch.images) != state.compiled_for or watch is not None
        )
        with state.runtime.cast(), run_eagerly(when=odd):
            outcome: LossOutput = state.forward(batch, signal, progress, phase=phase)
        total = state.method.total(outcome, progress)
        if watch is not None:
            watch(outcome)
        torch.autograd.backward(state.scaler.scale(total * share))
    state.guard.heed(batch, total)
    return outcome, total


def train_step(
    state: TrainingState,
    batch: Batch,
    signal: TeacherOutput,
    progress: Progress,
    *,
    rate: float,
    clip: float | None,
    share: float = 1.0,
    last: bool = True,
    watch: Callable[[LossOutput], None] | None = None,
) -> tuple[LossOutput, Tensor]:
    """Learn from a batch in every phase of the method, with an optimizer step after the last of a group.

    Args:
        state: the method in training.
        batch: images of this process.
        signal: the teacher's output for them.
        progress: where training stands.
        rate: learning rate.
        clip: largest norm of a learner's gradient; None: any.
        share: the batch's weight in the update, by images.
        last: whether an update follows; else the gradients wait for the next batch.
        watch: looks at the outcome of each phase before its graph is gone.

    Returns:
        The outcome of all phases, and the sum of their totals.
    """
    outcomes, totals = [], []
    for phase in range(state.method.phases):
        outcome, total = backward(
            state, batch, signal, progress, share=share, last=last, phase=phase, watch=watch
        )
        outcomes.append(outcome)
        totals.append(total.detach())
        if last:
            optimizer_step(state, rate, clip=clip)
    if last:
        after_step(state, progress)
    terms = {name: value for outcome in outcomes for name, value in outcome.terms.items()}
    return outcomes[-1]._replace(terms=terms), torch.stack(totals).sum()


def optimizer_step(state: TrainingState, rate: float, *, clip: float | None) -> None:
    """One optimizer step with the gradients gathered so far.

    Args:
        state: the method in training.
        rate: learning rate.
        clip: largest norm of a learner's gradient; None: any.
    """
    weights = state.weights
    set_learning_rate(weights.optimizer, rate)
    weights.take_gradients()
    # Gradients scaled up for fp16 are scaled back here, before their norm is looked at.
    state.guard.judge(weights.optimizer, state.scaler)
    if clip is not None:
        for learner in weights.trained():
            clip_gradient(learner, clip)
    state.scaler.step(weights.optimizer)
    state.scaler.update()
    weights.forget_gradients()
    state.guard.settle()


def after_step(state: TrainingState, progress: Progress) -> None:
    """Count a step, and move on what follows the weights: memories, averages."""
    taken = state.guard.close(progress)
    state.step += 1
    state.method.after_step(progress, taken)
    if state.average is not None:
        state.average.follow(state.method.student, taken)
