"""Everything a training run is between two steps: what a checkpoint saves and a resume puts back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from tutelage.config.training import OptimizationConfig
from tutelage.distributed import ALONE, World
from tutelage.engine.checkpoint.format import (
    Checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_optimizer,
    tensors_under,
)
from tutelage.engine.checkpoint.identity import require_same_training
from tutelage.engine.checkpoint.random_state import (
    RandomState,
    read_random_state,
    restore_random_state,
)
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.process_group import average_parts, gather_rows, step_group
from tutelage.engine.train.meters import LossMeters
from tutelage.engine.train.nonfinite_guard import READ_EVERY, NonfiniteGuard, SkippedSteps
from tutelage.engine.train.optim import ParameterOptimizer
from tutelage.errors import InputError
from tutelage.methods.gather import BatchGather
from tutelage.methods.method import Method
from tutelage.models.ema import ModelEMA
from tutelage.types import LossOutput


@dataclass
class BestEpoch:
    """The epoch (from 1) with the highest validation accuracy so far, the earliest of equals."""

    epoch: int = 0
    accuracy: float = -1.0
    weights: dict[str, Tensor] = field(default_factory=dict)


class TrainingState:
    """A method in training: optimizer, averages, position, sums of the open epoch, best epoch so far.

    `forward` is the method as it is called in a step: in several processes, inside torch's
    DistributedDataParallel (`parallel`), which averages the gradients.
    """

    def __init__(
        self, method: Method, settings: OptimizationConfig, runtime: Runtime, world: World = ALONE
    ) -> None:
        self.method = method
        self.world = world
        self.runtime = runtime
        self.weights = ParameterOptimizer(method, settings, method.learners)
        # fp16 has few exponents: its losses are scaled up and its gradients down again. Else it does nothing.
        half = runtime.autocast == torch.float16
        self.scaler = GradScaler(runtime.device.type, enabled=half)
        self.compiled_for: int | None = None
        self.parallel = _parallel(method, runtime.device) if world.size > 1 else None
        self.forward: Callable[..., LossOutput] = self.parallel or method
        self.average = (
            ModelEMA(method.student, settings.ema_decay, runtime.device)
            if settings.ema_decay
            else None
        )
        self.sums = LossMeters(list(method.weights), runtime.device)
        # A processor is not waited for: what a step was is read at once.
        every = 1 if runtime.device.type == "cpu" else READ_EVERY
        self.guard = NonfiniteGuard(method, runtime.device, every=every)
        self.masked = SkippedSteps()
        self.epoch = 0
        self.batch = 0
        self.step = 0
        self.best = BestEpoch()
        self.epoch_timings: list[dict[str, float]] = []

    @property
    def measured(self) -> nn.Module:
        """The network that is measured and saved: the moving average where there is one."""
        return self.method.student if self.average is None else self.average.module

    def next_epoch(self) -> None:
        """Close an epoch."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.sums.restore([0.0] * len(self.sums.state()))

    def checkpoint(self, *, identity: Mapping[str, Any], journal: int) -> Checkpoint:
        """Where training stands, as tensors and plain numbers; all processes call it together.

        Args:
            identity: what it is a training of; see `identity.identity`.
            journal: bytes of the journal that belong to it.
        """
        tensors = {
            **module_tensors("method", self.method),
            **optimizer_tensors(self.weights.optimizer),
            **{f"best/{name}": tensor for name, tensor in self.best.weights.items()},
        }
        if self.average is not None:
            tensors |= module_tensors("average", self.average)
        random = self.world.all_gather(read_random_state())
        for rank, one in enumerate(random):
            tensors |= {f"random/{rank}/{name}": found for name, found in one.tensors.items()}
        facts = {
            "identity": dict(identity),
            "journal": journal,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "sums": self.sums.state(),
            "masked": self.masked.facts(),
            "scaler": self.scaler.state_dict(),
            "best": {"epoch": self.best.epoch, "accuracy": self.best.accuracy},
            "epoch_timings": self.epoch_timings,
            "random": [one.facts for one in random],
            "tensors": sorted(tensors),
        }
        return Checkpoint(tensors, facts)

    def restore(self, checkpoint: Checkpoint, *, identity: Mapping[str, Any]) -> list[str]:
        """Put a checkpoint back, the random state last.

        Args:
            checkpoint: as `checkpoint` made it.
            identity: what this is a training of.

        Returns:
            What differs without being refused, for a person.

        Raises:
            InputError: the checkpoint is of other settings or inputs, or lacks something; nothing of it
                is then taken.
        """
        tensors, facts = checkpoint.tensors, checkpoint.facts
        self._require_all(checkpoint)
        notes = require_same_training(facts["identity"], identity)
        self.method.load_state_dict(tensors_under("method", tensors))
        restore_optimizer(self.weights.optimizer, tensors)
        if facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])
        if self.average is not None:
            self.average.load_state_dict(tensors_under("average", tensors))
        self.epoch, self.batch, self.step = facts["epoch"], facts["batch"], facts["step"]
        self.sums.restore(facts["sums"])
        self.masked = SkippedSteps(**facts["masked"])
        self.best = BestEpoch(**facts["best"], weights=tensors_under("best", tensors))
        self.epoch_timings = facts["epoch_timings"]
        # Another number of processes than before: the new ones go on as the first.
        rank = self.world.rank if self.world.rank < len(facts["random"]) else 0
        restore_random_state(
            RandomState(tensors_under(f"random/{rank}", tensors), facts["random"][rank])
        )
        return notes

    def _require_all(self, checkpoint: Checkpoint) -> None:
        """Refuse a checkpoint without something that this run saves or that was saved in it."""
        tensors, facts = checkpoint.tensors, checkpoint.facts
        missing = [name for name in _FACTS if name not in facts]
        names = {*facts.get("tensors", ()), *module_tensors("method", self.method), "random/0/cpu"}
        if self.average is not None:
            names |= set(module_tensors("average", self.average))
        if facts.get("best", {}).get("epoch"):
            names |= {f"best/{name}" for name in self.measured.state_dict()}
        missing += sorted(names - tensors.keys())
        if missing:
            raise InputError(
                "the checkpoint lacks what this run needs",
                found=", ".join(missing[:10]),
                fix="an earlier checkpoint, or take the folder of checkpoints away to begin anew",
            )

    def note_best(self, accuracy: float) -> None:
        """Keep the weights of this epoch where it is the best so far."""
        if accuracy > self.best.accuracy:
            weights = self.measured.state_dict()
            copies = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
            self.best = BestEpoch(self.epoch + 1, accuracy, copies)

    def facts(self) -> dict[str, Any]:
        """The best epoch for a person."""
        return {"epoch": self.best.epoch, "accuracy": self.best.accuracy}


_FACTS = (
    "identity",
    "journal",
    "epoch",
    "batch",
    "step",
    "sums",
    "masked",
    "scaler",
    "best",
    "epoch_timings",
    "random",
    "tensors",
)

# A newer torch has another name for it, and warns of the older one.
_NEWER = "forward_sync_buffers" in signature(DistributedDataParallel).parameters
_SEND_NO_BUFFERS: Any = {"forward_sync_buffers" if _NEWER else "broadcast_buffers": False}


def _parallel(method: Method, device: torch.device) -> DistributedDataParallel:
    method.sharing = BatchGather(gather_rows, average_parts)
    # Statistics of BatchNorm are computed over all processes, so buffers are equal without being sent.
    return DistributedDataParallel(
        method,
        device_ids=[device] if device.type == "cuda" else None,
        process_group=step_group(),
        gradient_as_bucket_view=True,
        find_unused_parameters=method.partial,
        **_SEND_NO_BUFFERS,
    )
