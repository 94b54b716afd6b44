"""Measure each epoch of a run on the labelled images of its validation split."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tutelage.data.loading.pixel_source import choose_source
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.process_group import gather_array
from tutelage.engine.train.compile import run_eagerly
from tutelage.engine.train.state import TrainingState
from tutelage.errors import DivergedError
from tutelage.evaluation.predict import read_logits


def validation(
    pack: Pack, runtime: Runtime, context: RunContext
) -> Callable[[TrainingState], Mapping[str, Any]]:
    """Return what measures an epoch: every process reads its share of the split, all get the same metrics.

    Several processes stop only after a step, when all agree.
    """
    world, task = context.world, context.task
    rows, targets = task.targets(pack, "val")
    share = world.share(len(rows))
    mine = rows[share.start : share.stop]
    feed = choose_source(pack, mine, runtime.device)

    def validate(state: TrainingState) -> Mapping[str, Any]:
        with run_eagerly(when=state.compiled_for is not None):
            part = read_logits(
                state.measured,
                pack,
                mine,
                device=runtime.device,
                cast=runtime.cast,
                feed=feed,
                progress=context.stop.poll if world.size == 1 else lambda _done, _count: None,
            )
        logits = gather_array(part, len(rows), world)
        if not np.isfinite(logits).all():
            raise DivergedError(
                "training stopped itself: the network's outputs are no longer finite",
                found=f"epoch {state.epoch + 1}",
                fix="a lower --lr, or --clip-grad 1",
            )
        return task.score(logits, targets, pack.classes)

    return validate
