"""The interface of a distillation method.

A method is a module whose `forward` does *all* trainable work, students and adapters, so that whatever
wraps it (DistributedDataParallel, torch.compile) sees everything. A finished teacher is never part of it:
its outputs arrive as a `TeacherOutput`. The method's state is what is trained, saved and optimized; values
it only keeps (past outputs, an average) are buffers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs
from tutelage.methods.gather import BatchGather, gather_rows
from tutelage.types import START, Batch, LossOutput, ModelOutput, Progress, TeacherOutput

LossWeighting = Callable[[Progress], Mapping[str, float]]
"""Maps training progress to the weight of each term."""


class Method(nn.Module, ABC):
    """A student, possibly with peers trained beside it, and the weighted terms they minimise.

    Subclasses set `student` and `weights` and implement `needs` and `forward`.
    """

    student: nn.Module
    """The network that is evaluated and delivered."""

    weights: Mapping[str, float]
    """Weight of each term."""

    weighing: LossWeighting | None = None
    """Schedule of the weights; None if they are constant."""

    sharing: BatchGather | None = None
    """Gathers a batch that is split over processes; None in a single process."""

    phases: int = 1
    """Updates per batch: each phase runs `forward` again and updates the parameters that got a gradient."""

    wants_partners: bool = False
    """Whether each image of a batch needs a partner: another image of its class."""

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the terms need from an outside teacher."""

    @property
    def partial(self) -> bool:
        """Whether a step may leave some parameters without a gradient."""
        return self.phases > 1

    @property
    def learners(self) -> Sequence[nn.Module]:
        """Modules whose gradients are clipped separately."""
        return [self]

    @property
    def companions(self) -> Sequence[nn.Module]:
        """Networks trained beside the student, which are evaluated and saved, too."""
        return []

    @property
    def attachments(self) -> Sequence[nn.Module]:
        """Extra layers, outside networks and terms, that run on this process's part of a batch."""
        return []

    @abstractmethod
    def forward(
        self, batch: Batch, signal: TeacherOutput, progress: Progress, *, phase: int = 0
    ) -> LossOutput:
        """Run the trained networks on a batch and compute their loss terms."""

    def weights_at(self, progress: Progress) -> Mapping[str, float]:
        """Return the weight of each term at this point of training."""
        return self.weights if self.weighing is None else self.weighing(progress)

    def total(self, outcome: LossOutput, progress: Progress = START) -> Tensor:
        """Return the weighted sum of the terms: the scalar to minimise, in fp32."""
        weights = self.weights_at(progress)
        return torch.stack([weights[name] * term for name, term in outcome.terms.items()]).sum()

    def outcome(
        self, student: ModelOutput, terms: Mapping[str, Tensor], batch: Batch
    ) -> LossOutput:
        """Bundle the terms with the logits and labels of the whole batch.

        Only the terms carry a gradient; the logits are detached.
        """
        whole = gather_rows(student.logits.detach(), batch, self.sharing)
        labels = gather_rows(batch.labels, batch, self.sharing)
        return LossOutput(logits=whole, labels=labels, terms=terms)

    def after_step(self, progress: Progress, taken: Tensor) -> None:
        """Update moving averages after an optimizer step; most methods have none.

        Args:
            progress: training progress at the step.
            taken: 1, or 0 if the step was skipped as not finite and nothing may change; on the device.
        """
