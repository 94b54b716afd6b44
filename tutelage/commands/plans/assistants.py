"""The plan of teacher assistants: each network of a chain is taught by the one before it, or by all."""

import dataclasses

from tutelage.commands.plans.step import Step, seeds_of, single_of, student_steps, teacher_step
from tutelage.config.job import Job


def assistant_steps(job: Job) -> list[Step]:
    """`teacher` -> `assistant-1` -> ... -> students; like the teacher, assistants are trained once.

    All are compared with the teacher at the head of the chain, whose knowledge is handed down.
    """
    steps = [teacher_step(job)]
    before: tuple[str, ...] = ("teacher",)
    for number, model in enumerate(job.methods.assistants.models, 1):
        trainee = dataclasses.replace(job.student, model=model)
        settings = single_of(job, trainee, role="assistant", seed=job.seed)
        step = Step(f"assistant-{number}", settings, _teachers(job, before), compares="teacher")
        steps.append(step)
        before = (*before, step.name)
    for seed in seeds_of(job):
        steps += student_steps(job, seed, teachers=_teachers(job, before), compares="teacher")
    return steps


def _teachers(job: Job, before: tuple[str, ...]) -> tuple[str, ...]:
    return before if job.methods.assistants.dense else before[-1:]
