"""The contract of a method: who teaches whom.

A method is a module whose `forward` does *all* trainable work, students and adapters, so that whatever
wraps it (DistributedDataParallel, torch.compile) sees everything. A teacher that is finished is never inside
it: its word arrives as a `TeacherOutput`. What is trained, saved and optimized is the method's own state; what it
only remembers (past answers, an average) is in buffers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs
from tutelage.methods.gather import BatchGather, gather_labels, gather_rows
from tutelage.types import START, Batch, LossOutput, ModelOutput, Progress, TeacherOutput

LossWeighting = Callable[[Progress], Mapping[str, float]]
"""Where training stands -> the weight of each term."""


class Method(nn.Module, ABC):
    """One student, perhaps with companions that learn beside it, and the weighted terms they minimise.

    Subclasses set `student` and `weights` and implement `needs` and `forward`.
    """

    student: nn.Module
    """What is measured and handed over."""

    weights: Mapping[str, float]
    weighing: LossWeighting | None = None
    """How weights change in training; None where they stay what they are."""

    sharing: BatchGather | None = None
    """How parts of a batch in several processes become one; None where this process has all of it."""

    phases: int = 1
    """Updates a batch: each phase runs `forward` again and updates what it gave a gradient."""

    wants_partners: bool = False
    """Whether batches come with another image of each one's class."""

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the terms want to be given by a teacher from outside."""

    @property
    def partial(self) -> bool:
        """Whether a step may leave some parameters without a gradient."""
        return self.phases > 1

    @property
    def learners(self) -> Sequence[nn.Module]:
        """What learns apart: the gradient of each is clipped on its own."""
        return [self]

    @property
    def companions(self) -> Sequence[nn.Module]:
        """Networks that learn beside the student, to be measured and saved, too."""
        return []

    @property
    def attachments(self) -> Sequence[nn.Module]:
        """Layers of its own, beside networks and terms, that see this process's part of a batch."""
        return []

    @abstractmethod
    def forward(
        self, batch: Batch, signal: TeacherOutput, progress: Progress, *, phase: int = 0
    ) -> LossOutput:
        """Run what learns on a batch and compare it with teacher and label."""

    def weights_at(self, progress: Progress) -> Mapping[str, float]:
        """The weight of each term where training stands."""
        return self.weights if self.weighing is None else self.weighing(progress)

    def total(self, outcome: LossOutput, progress: Progress = START) -> Tensor:
        """The weighted sum of an outcome's terms: the scalar to minimise, in fp32."""
        weights = self.weights_at(progress)
        return torch.stack([weights[name] * term for name, term in outcome.terms.items()]).sum()

    def outcome(
        self, student: ModelOutput, terms: Mapping[str, Tensor], batch: Batch
    ) -> LossOutput:
        """What the student said in this process, and the raw terms, as an outcome of the whole batch.

        Only the terms are differentiated: logits with a graph would look like another way to the loss.
        """
        whole = gather_rows(student.logits.detach(), batch, self.sharing)
        return LossOutput(logits=whole, labels=gather_labels(batch, self.sharing), terms=terms)

    def after_step(self, progress: Progress, taken: Tensor) -> None:
        """Move averages on after an optimizer step; most methods have none.

        Args:
            progress: where training stood in the step.
            taken: 1 on the device, or 0 where the step was not finite and nothing may change.
        """
