"""Two steps of each way to teach oneself, by one of two processes: `two_ranks_self RANK FOLDER`."""

import torch
from torch import Tensor

from support.methods.self_student import METHODS, at, batch_of, made, network
from support.two_processes import meet
from tutelage.config.losses.feature import ATConfig, HintConfig
from tutelage.config.losses.response import DISTConfig
from tutelage.config.objective import LossConfig
from tutelage.config.training import OptimizationConfig
from tutelage.distributed import World
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.sync_batchnorm import sync_batchnorm
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.types import NO_TEACHER_OUTPUT, Batch

CPU = torch.device("cpu")
WHOLE = 7
"""Images of a batch, which two processes do not share evenly."""


def part(batch: Batch, world: World) -> Batch:
    """What a process is given of a batch."""
    if world.size == 1:
        return batch
    mine = slice(world.share(WHOLE).start, world.share(WHOLE).stop)
    images, labels, ids = (rows[mine] for rows in batch[:3])
    assert batch.partners is not None
    partners = batch.partners[mine]
    return batch._replace(images=images, labels=labels, ids=ids, whole=WHOLE, partners=partners)


def trained(name: str, world: World) -> dict[str, Tensor]:
    """Each step's terms, and everything that is remembered after a step in each of two epochs.

    In float64, so that only what is computed differs, and not how sums are rounded. In the second epoch the
    images stand in another order: what one process saw of them the other is asked about. One term compares
    images with each other, one has an adapter with a norm.
    """
    inside = {"hint": HintConfig(weight=1.0), "at": ATConfig()} if name == "mean-teacher" else {}
    terms = LossConfig(dist=DISTConfig(weight=1.0), **inside)  # type: ignore[arg-type]
    method = made(name, network(), alpha=0.5, terms=terms)
    sync_batchnorm(method.student, CPU, world)
    mine = [m for term_name, m in method.terms.items() if term_name != "dist"]  # type: ignore[union-attr,operator]
    for layers in (*method.attachments, *mine):
        sync_batchnorm(layers, CPU, world)
    settings = OptimizationConfig(optimizer="sgd", lr=0.01)
    state = TrainingState(method, settings, Runtime(CPU, None, channels_last=False), world)
    found = {}
    for epoch in (0, 1):
        whole = batch_of(WHOLE)
        if epoch:
            turned = (rows.flip(0) for rows in whole[:3])
            whole = Batch(*turned, 0, partners=whole.partners)  # type: ignore[arg-type]
        progress = at(epoch, step=state.step)
        outcome, _ = train_step(
            state, part(whole, world), NO_TEACHER_OUTPUT, progress, rate=0.01, clip=None
        )
        found |= {f"{epoch} {key}": term.detach() for key, term in outcome.terms.items()}
        found[f"{epoch} logits"] = outcome.logits
    return found | {f"state {key}": t.clone() for key, t in method.state_dict().items()}


if __name__ == "__main__":
    meet(trained, METHODS)
