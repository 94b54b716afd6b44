"""How a run measures each of its epochs: on the labelled pictures of its validation split."""

from collections.abc import Callable

import numpy as np

from tutelage.data.feed import choose
from tutelage.data.pack import Pack
from tutelage.engine.compiling import eager
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.precision import Runtime
from tutelage.engine.processes import gather_array
from tutelage.engine.state import TrainingState
from tutelage.errors import DivergedError
from tutelage.evaluation.metrics import Metrics, score
from tutelage.evaluation.reading import read_logits
from tutelage.world import World


def validation(
    pack: Pack, runtime: Runtime, stop: StopRequest, world: World
) -> Callable[[TrainingState], Metrics]:
    """How an epoch is measured: every process reads its share of the split, all get the same metrics.

    Several processes stop only after a step, when all agree.
    """
    rows = pack.rows("val")
    rows = rows[pack.labels[rows] >= 0]
    share = world.share(len(rows))
    mine = rows[share.start : share.stop]
    feed = choose(pack, mine, runtime.device)

    def validate(state: TrainingState) -> Metrics:
        with eager(when=state.compiled_for is not None):
            part = read_logits(
                state.measured,
                pack,
                mine,
                device=runtime.device,
                cast=runtime.cast,
                feed=feed,
                progress=stop.poll if world.size == 1 else lambda _done, _count: None,
            )
        logits = gather_array(part, len(rows), world)
        if not np.isfinite(logits).all():
            raise DivergedError(
                "training stopped itself: the network's answers are no longer finite",
                found=f"epoch {state.epoch + 1}",
                fix="a lower --lr, or --clip 1",
            )
        return score(logits, pack.labels[rows], pack.classes)

    return validate
