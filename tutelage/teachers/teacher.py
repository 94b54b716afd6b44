"""The interface of a teacher, the only one that methods and the training loop use."""

from typing import Protocol

from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, Progress, TeacherOutput


class Teacher(Protocol):
    """Maps (batch, progress) to a `TeacherOutput`. Teachers that change during training use `progress`."""

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """Return the outputs for a batch."""


def no_teacher(_batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
    """Return an empty output, for training without a teacher."""
    return NO_TEACHER_OUTPUT
