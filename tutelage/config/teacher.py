"""Settings of teachers: when their outputs are computed, where they are cached, what a specialist knows."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class TeacherOutputConfig:
    """When teacher outputs are computed, and where they are cached."""

    teacher_outputs: Literal["auto", "cached", "live"] = "auto"
    """`cached`: computed before training, once for every view, and kept for later students; `live`: computed
    at every step; `auto`: cached, unless they would take more than 4 GB.
    """

    cache: str | None = None
    """Folder of the cached teacher outputs; unset: `teacher-cache` beside the run folder."""

    teacher_classes: tuple[str, ...] | None = None
    """Names of the teacher's classes in the order of its outputs, or a file of them: a name a line, CSV or
    JSON. The outputs are put into the order of the data's classes. Unset: the names in its folder.
    """

    skip_teacher_check: bool = False
    """Accept a teacher that is no better than chance, or whose classes seem to be in another order. One with
    the same output for every image, or with outputs that are not finite, is refused all the same.
    """


@dataclass(frozen=True, kw_only=True)
class SpecialistConfig:
    """What a specialist knows (`--role specialist`); it starts from the weights of `teacher`."""

    classes: tuple[str, ...] = ()
    """Names of the classes that it distinguishes; all others are one class to it."""

    clusters: int | None = setting(None, at_least=2)
    """Set by `tutelage run --method specialists`, which finds the classes: `methods.specialists.groups`."""

    number: int | None = setting(None, at_least=1)
    """Set by it, too: which of the groups that are found these are."""
