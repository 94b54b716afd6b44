"""One step: forward, backward, update. Nothing in it waits for the device."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from tutelage.engine.compiling import eager
from tutelage.engine.optim import clip_gradient, set_learning_rate
from tutelage.engine.state import TrainingState
from tutelage.nouns import Batch, Outcome, Progress, Signal


def learn(
    state: TrainingState,
    batch: Batch,
    signal: Signal,
    progress: Progress,
    *,
    share: float = 1.0,
    last: bool = True,
    watch: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, Tensor]:
    """Add a batch's gradient to what the parameters hold.

    Args:
        state: the method in training.
        batch: pictures of this process.
        signal: what the teacher says about them.
        progress: where training stands.
        share: the batch's weight in the coming update, by images.
        last: whether `update` follows; processes exchange gradients only then.
        watch: looks at the outcome before its graph is gone.

    Returns:
        The outcome, and the total that was differentiated (before `share`).
    """
    wait = contextlib.nullcontext() if last or state.parallel is None else state.parallel.no_sync()
    with wait:
        # A network is compiled for one size of batch; a smaller last one runs as it is written.
        # Its graph cannot be walked twice, so a step that is watched runs like that, too.
        odd = state.compiled_for is not None and (
            len(batch.images) != state.compiled_for or watch is not None
        )
        with state.runtime.cast(), eager(when=odd):
            outcome: Outcome = state.forward(batch, signal, progress)
        total = state.method.total(outcome, progress)
        if watch is not None:
            watch(outcome)
        torch.autograd.backward(state.scaler.scale(total * share))
    return outcome, total


def update(state: TrainingState, rate: float, *, clip: float | None, progress: Progress) -> None:
    """One optimiser step with the gradients gathered so far.

    Args:
        state: the method in training.
        rate: learning rate.
        clip: largest norm of the gradient; None: any.
        progress: where training stands.
    """
    weights = state.weights
    set_learning_rate(weights.optimizer, rate)
    weights.take_gradients()
    if clip is not None:
        # Gradients scaled up for fp16 are scaled back before their norm is looked at.
        state.scaler.unscale_(weights.optimizer)
        clip_gradient(weights.trained(), clip)
    state.scaler.step(weights.optimizer)
    state.scaler.update()
    weights.forget_gradients()
    state.step += 1
    state.method.after_step(progress)
    if state.average is not None:
        state.average.update_parameters(state.method.student)
