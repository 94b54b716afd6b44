"""The plan of teacher assistants: each network of a chain is taught by the one before it, or by all."""

import dataclasses

from tutelage.commands.plans.step import (
    PlannedRun,
    plan_students,
    plan_teacher,
    student_seeds,
    train_config,
)
from tutelage.config.job import DistillConfig


def plan_assistants(job: DistillConfig) -> list[PlannedRun]:
    """`teacher` -> `assistant-1` -> ... -> students; like the teacher, assistants are trained once.

    All are compared with the teacher at the head of the chain, whose knowledge is handed down.
    """
    steps = [plan_teacher(job)]
    before: tuple[str, ...] = ("teacher",)
    for number, model in enumerate(job.methods.assistants.models, 1):
        trainee = dataclasses.replace(job.student, model=model)
        settings = train_config(job, trainee, role="assistant", seed=job.seed)
        step = PlannedRun(
            f"assistant-{number}", settings, _teachers(job, before), compares="teacher"
        )
        steps.append(step)
        before = (*before, step.name)
    for seed in student_seeds(job):
        steps += plan_students(job, seed, teachers=_teachers(job, before), compares="teacher")
    return steps


def _teachers(job: DistillConfig, before: tuple[str, ...]) -> tuple[str, ...]:
    return before if job.methods.assistants.dense else before[-1:]
