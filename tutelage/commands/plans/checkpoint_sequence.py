"""The plan of a course: one teacher that keeps checkpoints of its training, which teach in their order."""

import dataclasses

from tutelage.commands.plans.step import Step, seeds_of, student_steps, teacher_step
from tutelage.config.job import Job


def course_steps(job: Job) -> list[Step]:
    """A teacher with `methods.course.checkpoints` kept; for each seed a student of them and a control."""
    teacher = teacher_step(job)
    settings = dataclasses.replace(teacher.settings, keep=job.methods.course.checkpoints)
    steps = [teacher._replace(settings=settings)]
    for seed in seeds_of(job):
        steps += student_steps(job, seed, teachers=("teacher",), compares="teacher")
    return steps
