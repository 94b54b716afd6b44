"""What all terms on logits share: their checks, and logit standardisation."""

from abc import abstractmethod

import torch
from torch import Tensor

from tutelage.config.losses.response import LogitLossConfig
from tutelage.errors import InputError
from tutelage.losses.precision import in_full_precision
from tutelage.losses.term import Needs, Term
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

EPSILON = 1e-7
_LEAST_DEVIATION = 1e-4


@in_full_precision
def standardized(logits: Tensor) -> Tensor:
    """Scale each row of logits [B, C] to mean 0 and standard deviation 1: z' = (z - mean) / (std + 1e-7).

    The student then matches the shape of the teacher's logits, not their size: the result does not change
    when a row is scaled by a positive number or shifted. A constant row becomes 0, with a finite gradient.

    Sun et al. 2024, Logit standardization in knowledge distillation, arXiv:2403.01427, algorithm 1. The
    standard deviation is that of their code, over C - 1. Where we differ: one below 1e-4 counts as 1e-4. The
    gradient grows with its inverse, up to 1e7 times in their code; that of a constant row has to fit float16.
    """
    # The mean of equal numbers is rounded. With the largest subtracted first, they are exactly 0.
    shifted = logits - logits.detach().amax(1, keepdim=True)
    centred = shifted - shifted.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / max(1, logits.shape[1] - 1)
    # Clamped inside the root, whose slope is infinite at 0.
    return centred / (variance.clamp(min=_LEAST_DEVIATION**2).sqrt() + EPSILON)


class LogitTerm(Term):
    """A term that compares logits [B, C]. Subclasses implement `compare`."""

    settings: LogitLossConfig = LogitLossConfig()
    needs = Needs(teacher_logits=True)

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the student's and the teacher's logits [B, C], a scalar."""

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Compare the student's logits with the teacher's, standardised if the settings say so.

        Raises:
            UsageError: the teacher provides no logits.
        """
        mine, theirs = student.logits, self.teacher_logits(teacher)
        if self.settings.standardize:
            mine, theirs = standardized(mine), standardized(theirs.detach())
        return self.compare(mine, theirs, batch)


def target_class(batch: Batch) -> Tensor:
    """Return the label [B] of each image; of two mixed images, that of the larger share; -1 where unknown."""
    if batch.mixed is None:
        return batch.labels
    return torch.where(batch.mixed.share >= 0.5, batch.labels, batch.mixed.labels)


def check_logits(student: Tensor, teacher: Tensor) -> None:
    """Require logits of the same shape [B, C]: nothing is broadcast.

    Raises:
        InputError: they differ; both shapes are printed.
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise InputError(
            "student and teacher logits differ in shape",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected="both [B, C]",
            fix="a teacher with the student's classes",
        )
