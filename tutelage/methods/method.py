"""The contract of a method: who teaches whom.

A method is a module whose `forward` does *all* trainable work, student and adapters, so that whatever
wraps it (DistributedDataParallel, torch.compile) sees everything. Its teachers are never inside it:
their word arrives as a `Signal`, and what is trained, saved and optimised is the method's own state.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs
from tutelage.nouns import START, Batch, Outcome, Output, Progress, Signal

Weighing = Callable[[Progress], Mapping[str, float]]
"""Where training stands -> the weight of each term."""

Gather = Callable[[Tensor, int], Tensor]
"""(rows of this process [b, ...], B) -> rows of all processes [B, ...], by rank; gradients flow back."""

Average = Callable[[Tensor, float], Tensor]
"""(mean over this process's pictures, their share of the batch) -> mean over all of them."""


class Method(nn.Module, ABC):
    """One student, and the weighted terms it minimises.

    Subclasses set `student` and `weights` and implement `forward`; they may override `after_step`.
    """

    student: nn.Module
    weights: Mapping[str, float]
    weighing: Weighing | None = None
    """How weights change in training; None where they stay what they are."""

    gather: Gather | None = None
    """How parts of a batch in several processes become one; None where this process has all of it."""

    average: Average | None = None
    """How the means of the processes' parts become that of the whole batch."""

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the terms want to be given."""

    @property
    def partial(self) -> bool:
        """Whether a step may leave some parameters without a gradient."""
        return False

    @abstractmethod
    def forward(self, batch: Batch, signal: Signal, progress: Progress) -> Outcome:
        """Run the student on a batch and compare it with teacher and label."""

    def together(
        self, output: Output, signal: Signal, batch: Batch, points: Collection[str] = ()
    ) -> tuple[Output, Signal, Batch]:
        """The whole batch's logits, labels and features, from this process's part of it.

        Terms then mean over the whole batch, whatever they compare, and every process has the same
        loss: that is why several processes train as one would. Pictures stay where they are, and so do
        features of other points.
        """
        if self.gather is None or batch.whole is None:
            return output, signal, batch
        gather, whole = self.gather, batch.whole

        def all_of(tensor: Tensor) -> Tensor:
            return gather(tensor, whole)

        def all_at(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: all_of(found) for name, found in features.items() if name in points}

        mixed = batch.mixed and type(batch.mixed)(*(all_of(part) for part in batch.mixed))
        return (
            Output(all_of(output.logits), all_at(output.features)),
            Signal(
                None if signal.logits is None else all_of(signal.logits),
                all_at(signal.features),
            ),
            batch._replace(labels=all_of(batch.labels), ids=all_of(batch.ids), mixed=mixed),
        )

    def weights_at(self, progress: Progress) -> Mapping[str, float]:
        """The weight of each term where training stands."""
        return self.weights if self.weighing is None else self.weighing(progress)

    def total(self, outcome: Outcome, progress: Progress = START) -> Tensor:
        """The weighted sum of an outcome's terms: the scalar to minimise, in fp32."""
        weights = self.weights_at(progress)
        return torch.stack([weights[name] * outcome.terms[name] for name in weights]).sum()

    def after_step(self, progress: Progress) -> None:
        """Update averages or memories after an optimiser step; most methods have none."""
