"""Route-constrained optimization: the teacher's own checkpoints teach, in their order."""

import dataclasses

from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodConfig
from tutelage.errors import UsageError
from tutelage.methods.plan import PlannedRun, plan_under_teacher
from tutelage.methods.spec import COPIES_WEIGHTS, MethodSpec


def _plan(_spec: MethodSpec, job: DistillConfig) -> list[PlannedRun]:
    """Plan a teacher that keeps `methods.rco.checkpoints`; for each seed a student of them and a control."""
    teacher, *others = plan_under_teacher(job)
    count = job.methods.rco.checkpoints
    settings = dataclasses.replace(teacher.settings, keep_checkpoints=count)
    return [teacher._replace(settings=settings), *others]


def _check_epochs(settings: MethodConfig, epochs: int, *, flag: str) -> None:
    """Refuse a student with fewer epochs than there are checkpoints: each teaches for one at least.

    Raises:
        UsageError: it has.
    """
    count = settings.methods.rco.checkpoints
    if count > epochs:
        raise UsageError(
            "there are more teacher checkpoints than the student has epochs",
            found=f"methods.rco.checkpoints = {count}, {epochs} epochs",
            fix=f"{flag}epochs {count}, or --methods.rco.checkpoints {max(1, epochs)}",
        )


def _check_teachers(settings: MethodConfig, count: int) -> None:
    wanted = settings.methods.rco.checkpoints
    if count != wanted:
        raise UsageError(
            "the teacher has kept another number of checkpoints",
            found=f"{count} checkpoints",
            expected=f"methods.rco.checkpoints = {wanted}",
            fix=f"--methods.rco.checkpoints {count}",
        )


def _refuse(term: str) -> str | None:
    part = COPIES_WEIGHTS.get(term)
    return part and f"it takes the {part} of one teacher, and each checkpoint has its own"


SPEC = MethodSpec(
    name="rco",
    family="offline",
    line="the teacher's own checkpoints, one after the other",
    source="Jin 2019, arXiv:1904.09149",
    builder="factory:build_offline",
    needs_teacher=True,
    plan=_plan,
    check_epochs=_check_epochs,
    check_teachers=_check_teachers,
    combination=lambda _options: "sequence",
    checkpoints=lambda options: options.rco.checkpoints,
    refuse=_refuse,
)
