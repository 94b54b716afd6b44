"""The contract of a teacher: given a batch, its word as a `TeacherOutput`. Methods and loop know only this."""

from typing import Protocol

from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, Progress, TeacherOutput


class Teacher(Protocol):
    """Whoever teaches; one whose word changes in the course of training looks at where it stands."""

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """What it says about a batch."""


def no_teacher(_batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
    """No teacher: how teachers and controls are trained."""
    return NO_TEACHER_OUTPUT
