"""Settings of teachers: when they are asked, where their answers are kept, what a specialist knows."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class TeacherOutputConfig:
    """When the teacher is asked about the images, and where its answers are kept."""

    teacher_outputs: Literal["auto", "cached", "live"] = "auto"
    """`cached`: before training, once about every view, kept for later students; `live`: at every step.
    `auto`: cached, unless the answers would take more than 4 GB.
    """

    cache: str | None = None
    """Folder in which teachers' answers are kept; unset: `teacher-cache` beside the run folder."""

    skip_teacher_check: bool = False
    """Take a teacher whose answers are no better than chance, or whose classes seem to be in another order.
    One that says the same about every image, or whose answers are not finite, is refused all the same.
    """


@dataclass(frozen=True, kw_only=True)
class SpecialistConfig:
    """What a specialist knows (`--role specialist`), which goes on from the weights of `teacher`."""

    classes: tuple[str, ...] = ()
    """Names of the classes that it tells apart; all others are one class to it."""

    clusters: int | None = setting(None, at_least=2)
    """Set by `tutelage run --method specialists`, which finds the classes: `methods.specialists.groups`."""

    number: int | None = setting(None, at_least=1)
    """Set by it, too: which of the groups that are found these are."""
