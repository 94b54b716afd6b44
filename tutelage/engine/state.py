"""Everything a training run is between two steps: what a checkpoint saves and a resume puts back."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tutelage.engine.checkpoint import (
    Checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_optimizer,
    under,
)
from tutelage.engine.optim import make_optimizer
from tutelage.engine.settings import Training
from tutelage.engine.sums import Sums
from tutelage.errors import InputError
from tutelage.methods.method import Method


@dataclass
class Best:
    """The epoch (from 1) with the highest validation accuracy so far, the earliest of equals."""

    epoch: int = 0
    accuracy: float = -1.0
    weights: dict[str, Tensor] = field(default_factory=dict)


class TrainingState:
    """A method in training: optimiser, averages, position, sums of the open epoch, best epoch so far."""

    def __init__(self, method: Method, settings: Training, device: torch.device) -> None:
        self.method = method
        self.optimizer: Optimizer = make_optimizer(method, settings)
        self.average = (
            AveragedModel(
                method.student,
                multi_avg_fn=get_ema_multi_avg_fn(settings.ema),  # type: ignore[no-untyped-call]
                use_buffers=True,
            )
            if settings.ema
            else None
        )
        self.sums = Sums(list(method.weights), device)
        self.epoch = 0
        self.batch = 0
        self.step = 0
        self.best = Best()
        self.epoch_timings: list[dict[str, float]] = []

    @property
    def measured(self) -> nn.Module:
        """The network that is measured and saved: the moving average where there is one."""
        return self.method.student if self.average is None else self.average.module

    def next_epoch(self) -> None:
        """Close an epoch."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.sums.restore([0.0] * len(self.sums.state()))

    def checkpoint(self, *, fingerprint: str, journal: int) -> Checkpoint:
        """Where training stands, as tensors and plain numbers."""
        tensors = {
            **module_tensors("method", self.method),
            **optimizer_tensors(self.optimizer),
            "random/cpu": torch.get_rng_state(),
            **{f"best/{name}": tensor for name, tensor in self.best.weights.items()},
        }
        if torch.cuda.is_available():
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        if self.average is not None:
            tensors |= module_tensors("average", self.average)
        facts = {
            "fingerprint": fingerprint,
            "journal": journal,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "sums": self.sums.state(),
            "best": {"epoch": self.best.epoch, "accuracy": self.best.accuracy},
            "epoch_timings": self.epoch_timings,
        }
        return Checkpoint(tensors, facts)

    def restore(self, checkpoint: Checkpoint, *, fingerprint: str) -> None:
        """Put a checkpoint back, the random state last.

        Raises:
            InputError: the checkpoint is of other settings or inputs.
        """
        tensors, facts = checkpoint.tensors, checkpoint.facts
        if facts["fingerprint"] != fingerprint:
            raise InputError(
                "the checkpoint is of a run with other settings or inputs",
                found=facts["fingerprint"],
                expected=fingerprint,
                fix="the settings it was started with, or another --out",
            )
        self.method.load_state_dict(under("method", tensors))
        restore_optimizer(self.optimizer, tensors)
        if self.average is not None:
            self.average.load_state_dict(under("average", tensors))
        self.epoch, self.batch, self.step = facts["epoch"], facts["batch"], facts["step"]
        self.sums.restore(facts["sums"])
        self.best = Best(**facts["best"], weights=under("best", tensors))
        self.epoch_timings = facts["epoch_timings"]
        if "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"])
        torch.set_rng_state(tensors["random/cpu"])

    def note_best(self, accuracy: float) -> None:
        """Keep the weights of this epoch where it is the best so far."""
        if accuracy > self.best.accuracy:
            weights = self.measured.state_dict()
            copies = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
            self.best = Best(self.epoch + 1, accuracy, copies)

    def facts(self) -> dict[str, Any]:
        """The best epoch for a person."""
        return {"epoch": self.best.epoch, "accuracy": self.best.accuracy}
