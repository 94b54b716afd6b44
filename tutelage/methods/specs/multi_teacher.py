"""Several finished teachers: their mean output, or each of them with the terms added up."""

import dataclasses
from typing import Literal

from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodConfig, MethodOptions
from tutelage.config.roles import TEACHER
from tutelage.errors import UsageError
from tutelage.methods.plan import PlannedRun, plan_students, student_seeds, train_config
from tutelage.methods.spec import Combination, MethodSpec


def _plan(_spec: MethodSpec, job: DistillConfig) -> list[PlannedRun]:
    """Plan `teacher`, `teacher-2`, ..., and for each seed a student of all of them and a control.

    Each teacher has a seed of its own: two networks of one name would otherwise be the same network.
    """
    models = (job.teacher.model, *job.methods.multi_teacher.models)
    names = ("teacher", *(f"teacher-{number}" for number in range(2, len(models) + 1)))
    runs = []
    for number, (name, model) in enumerate(zip(names, models, strict=True)):
        network = dataclasses.replace(job.teacher, model=model)
        settings = train_config(job, network, role=TEACHER, seed=job.seed + number)
        runs.append(PlannedRun(name, settings, network=None if number else "teacher"))
    for seed in student_seeds(job):
        runs += plan_students(job, seed, teachers=names, reference="teacher")
    return runs


def _check_teachers(settings: MethodConfig, count: int) -> None:
    """Refuse weights that do not fit the teachers.

    Raises:
        UsageError: they do not.
    """
    own = settings.methods.multi_teacher
    if own.weigh == "confidence" and own.combine == "divergences":
        raise UsageError(
            "divergences cannot be weighted image by image: a term is one number for a batch",
            found="methods.multi_teacher: combine = divergences, weigh = confidence",
            expected="probabilities: for the forward KL their mean gives the same gradient",
            fix="--methods.multi-teacher.combine probabilities",
        )
    if not own.weights:
        return
    if own.weigh != "given":
        raise UsageError(
            "the teachers' weights are given and measured as well",
            found=f"methods.multi_teacher: weigh = {own.weigh}, weights = {list(own.weights)}",
            fix="leave out --methods.multi-teacher.weights, or --methods.multi-teacher.weigh given",
        )
    if len(own.weights) != count or not sum(own.weights) > 0:
        raise UsageError(
            "the weights do not fit the teachers",
            found=f"weights {list(own.weights)}, {count} teachers",
            expected="one for each teacher, not all of them 0",
            fix="--methods.multi-teacher.weights",
        )


def _combination(options: MethodOptions) -> Combination:
    return "list" if options.multi_teacher.combine == "divergences" else "ensemble"


def _signal(options: MethodOptions) -> Literal["features", "logits"]:
    return "features" if options.multi_teacher.combine == "divergences" else "logits"


SPEC = MethodSpec(
    name="multi-teacher",
    family="offline",
    line="several finished teachers",
    source="You 2017; Du 2020 (weights)",
    builder="multi_teacher:build_multi_teacher",
    needs_teacher=True,
    plan=_plan,
    check_teachers=_check_teachers,
    combination=_combination,
    weighted=True,
    signal=_signal,
    signal_name=(
        "the mean output of several teachers (methods.multi_teacher.combine is not divergences)"
    ),
)
