"""A sequence of checkpoints of one teacher, used in turn from early (easier) to late."""

from collections.abc import Sequence

from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch, Progress, TeacherOutput


def checkpoint_index(epoch: int, *, checkpoints: int, epochs: int) -> int:
    """Return the checkpoint (from 0) that is the teacher in an epoch (from 0): floor(e K / E).

    >>> [checkpoint_index(epoch, checkpoints=3, epochs=7) for epoch in range(7)]
    [0, 0, 0, 1, 1, 2, 2]
    """
    return epoch * checkpoints // epochs


def last_epoch(number: int, *, checkpoints: int, epochs: int) -> int:
    """Return how many epochs are done when a checkpoint (from 0) has been used for the last time.

    >>> [last_epoch(number, checkpoints=3, epochs=7) for number in range(3)]
    [3, 5, 7]
    """
    return -(-(number + 1) * epochs // checkpoints)


class CheckpointSequence:
    """Checkpoints of one teacher, each used for an equal part of the student's training.

    Jin et al. 2019, Knowledge distillation via route constrained optimization, arXiv:1904.09149: the student
    follows points of the teacher's route one by one. Where we differ: there the points are searched for, and
    each is used until the student has converged; here they divide both trainings evenly.
    """

    def __init__(self, teachers: Sequence[Teacher], *, epochs: int) -> None:
        """Initialize the sequence.

        Args:
            teachers: checkpoints, the earliest first.
            epochs: epochs of the student's training.
        """
        self._teachers, self._epochs = tuple(teachers), epochs

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """Return the outputs of this epoch's checkpoint for a batch."""
        number = checkpoint_index(
            progress.epoch, checkpoints=len(self._teachers), epochs=self._epochs
        )
        return self._teachers[number](batch, progress)
