"""The contract of a method: who teaches whom.

A method is a module whose `forward` does *all* trainable work, student and adapters, so that whatever
wraps it (DistributedDataParallel, torch.compile) sees everything. Its teachers are never inside it:
their word arrives as a `Signal`, and what is trained, saved and optimised is the method's own state.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs
from tutelage.nouns import Batch, Outcome, Progress, Signal


class Method(nn.Module, ABC):
    """One student, and the weighted terms it minimises.

    Subclasses set `student` and `weights` and implement `forward`; they may override `after_step`.
    """

    student: nn.Module
    weights: Mapping[str, float]

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the terms want to be given."""

    @abstractmethod
    def forward(self, batch: Batch, signal: Signal, _progress: Progress) -> Outcome:
        """Run the student on a batch and compare it with teacher and label."""

    def total(self, outcome: Outcome) -> Tensor:
        """The weighted sum of an outcome's terms: the scalar to minimise, in fp32."""
        terms = [weight * outcome.terms[name] for name, weight in self.weights.items()]
        return torch.stack(terms).sum()

    def after_step(self, progress: Progress) -> None:
        """Update averages or memories after an optimiser step; most methods have none."""
