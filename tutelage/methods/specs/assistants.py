"""Teacher assistants: a chain of networks from the teacher to the student."""

import dataclasses

from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.roles import ASSISTANT
from tutelage.methods.plan import (
    PlannedRun,
    plan_students,
    plan_teacher,
    student_seeds,
    train_config,
)
from tutelage.methods.spec import MethodSpec, one_teacher


def _plan(_spec: MethodSpec, job: DistillConfig) -> list[PlannedRun]:
    """Plan `teacher` -> `assistant-1` -> ... -> students; assistants are trained once, as the teacher is.

    All are compared with the teacher at the head of the chain, whose knowledge is passed on.
    """
    runs = [plan_teacher(job)]
    for number, model in enumerate(job.methods.assistants.models, 1):
        network = dataclasses.replace(job.student, model=model)
        settings = train_config(job, network, role=ASSISTANT, seed=job.seed)
        runs.append(PlannedRun(f"assistant-{number}", settings, _teachers(job, runs), "teacher"))
    teachers = _teachers(job, runs)
    for seed in student_seeds(job):
        runs += plan_students(job, seed, teachers=teachers, reference="teacher")
    return runs


def _teachers(job: DistillConfig, chain: list[PlannedRun]) -> tuple[str, ...]:
    names = tuple(run.name for run in chain)
    return names if job.methods.assistants.dense else names[-1:]


def _check_teachers(settings: MethodConfig, count: int) -> None:
    if not settings.methods.assistants.dense:
        one_teacher(settings, count)


SPEC = MethodSpec(
    name="assistants",
    family="offline",
    line="a chain from the teacher over networks in between to the student",
    source="Mirzadeh 2020, arXiv:1902.03393; dense: Son 2021, arXiv:2009.08825",
    builder="multi_teacher:build_multi_teacher",
    needs_teacher=True,
    several_runs=True,
    plan=_plan,
    check_teachers=_check_teachers,
    combination=lambda _options: "list",
)
