"""The contract of a method: who teaches whom.

A method is a module whose `forward` does *all* trainable work, student and adapters, so that whatever
wraps it (DistributedDataParallel, torch.compile) sees everything. Its teachers are never inside it:
their word arrives as a `Signal`, and what is trained, saved and optimised is the method's own state.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs
from tutelage.nouns import Batch, Outcome, Output, Progress, Signal

Gather = Callable[[Tensor, int], Tensor]
"""(rows of this process [b, ...], B) -> rows of all processes [B, ...], by rank; gradients flow back."""


class Method(nn.Module, ABC):
    """One student, and the weighted terms it minimises.

    Subclasses set `student` and `weights` and implement `forward`; they may override `after_step`.
    """

    student: nn.Module
    weights: Mapping[str, float]
    gather: Gather | None = None
    """How parts of a batch in several processes become one; None where this process has all of it."""

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the terms want to be given."""

    @abstractmethod
    def forward(self, batch: Batch, signal: Signal, _progress: Progress) -> Outcome:
        """Run the student on a batch and compare it with teacher and label."""

    def together(
        self, output: Output, signal: Signal, batch: Batch
    ) -> tuple[Output, Signal, Batch]:
        """The whole batch's outputs, signals and labels, from this process's part of it.

        Terms then mean over the whole batch, whatever they compare, and every process has the same
        loss: that is why several processes train as one would. Pictures stay where they are.
        """
        if self.gather is None or batch.whole is None:
            return output, signal, batch
        gather, whole = self.gather, batch.whole

        def all_of(tensor: Tensor) -> Tensor:
            return gather(tensor, whole)

        mixed = batch.mixed and type(batch.mixed)(*(all_of(part) for part in batch.mixed))
        return (
            Output(all_of(output.logits), {name: all_of(f) for name, f in output.features.items()}),
            Signal(
                None if signal.logits is None else all_of(signal.logits),
                {name: all_of(f) for name, f in signal.features.items()},
            ),
            batch._replace(labels=all_of(batch.labels), ids=all_of(batch.ids), mixed=mixed),
        )

    def total(self, outcome: Outcome) -> Tensor:
        """The weighted sum of an outcome's terms: the scalar to minimise, in fp32."""
        terms = [weight * outcome.terms[name] for name, weight in self.weights.items()]
        return torch.stack(terms).sum()

    def after_step(self, progress: Progress) -> None:
        """Update averages or memories after an optimiser step; most methods have none."""
