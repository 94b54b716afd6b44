"""What every term on logits shares: their checks, and bringing them to one scale first."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from tutelage.errors import InputError, UsageError
from tutelage.losses.precision import in_full_precision
from tutelage.losses.term import Needs, Term
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

EPSILON = 1e-7
_LEAST_DEVIATION = 1e-4


@in_full_precision
def standardized(logits: Tensor) -> Tensor:
    """Each row of logits [B, C] with mean 0 and standard deviation 1: z' = (z - mean) / (std + 1e-7).

    The student then matches the shape of the teacher's logits, not their size: the result does not change
    when a row is scaled by a positive number or shifted. A constant row becomes 0, with a finite gradient.

    Sun et al. 2024, Logit standardization in knowledge distillation, arXiv:2403.01427, algorithm 1. The
    standard deviation is that of their code, over C - 1. Where we differ: one below 1e-4 counts as 1e-4. The
    gradient grows with its inverse, up to 1e7 times in their code; that of a constant row has to fit float16.
    """
    # The mean of equal numbers is rounded; less the largest of them, they are 0 and stay so.
    shifted = logits - logits.detach().amax(1, keepdim=True)
    centred = shifted - shifted.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / max(1, logits.shape[1] - 1)
    # Held inside the root, which has no slope at 0.
    return centred / (variance.clamp(min=_LEAST_DEVIATION**2).sqrt() + EPSILON)


class LogitTerm(Term):
    """A term that compares logits [B, C]. Subclasses write `compare`."""

    name: ClassVar[str]
    """As in the table, for messages."""

    needs = Needs(teacher_logits=True)

    def __init__(self, *, standardize: bool = False) -> None:
        super().__init__()
        self.standardize = standardize

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """The loss of logits [B, C] of student and teacher."""

    def forward(
        self, student: ModelOutput, signal: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Compare the student's logits with the teacher's.

        Raises:
            UsageError: the signal carries no logits.
        """
        if signal.logits is None:
            raise UsageError(
                f"the term {self.name} needs the logits of a teacher, and none is given"
            )
        if not self.standardize:
            return self.compare(student.logits, signal.logits, batch)
        return self.compare(
            standardized(student.logits), standardized(signal.logits.detach()), batch
        )


def target_class(batch: Batch) -> Tensor:
    """The label [B] of each image; of a mixture of two, that of the larger share; -1 where unknown."""
    if batch.mixed is None:
        return batch.labels
    return torch.where(batch.mixed.share >= 0.5, batch.labels, batch.mixed.labels)


def check_logits(student: Tensor, teacher: Tensor) -> None:
    """Both are [B, C]; nothing is broadcast.

    Raises:
        InputError: they are not; both shapes are printed.
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise InputError(
            "student and teacher logits differ in shape",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected="both [B, C]",
            fix="a teacher with the student's classes",
        )


def check_temperature(temperature: float) -> None:
    """A finite number above 0.

    Raises:
        UsageError: it is not.
    """
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise UsageError(
            "the temperature is out of range",
            found=temperature,
            expected="a finite number above 0",
            fix="4 as usual; 1 leaves the probabilities as they are",
        )
