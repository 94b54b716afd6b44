"""The plan of a course: one teacher that keeps checkpoints of its training, which teach in their order."""

import dataclasses

from tutelage.commands.plans.step import PlannedRun, plan_students, plan_teacher, student_seeds
from tutelage.config.job import DistillConfig


def plan_checkpoint_sequence(job: DistillConfig) -> list[PlannedRun]:
    """A teacher with `methods.rco.checkpoints` kept; for each seed a student of them and a control."""
    teacher = plan_teacher(job)
    settings = dataclasses.replace(teacher.settings, keep_checkpoints=job.methods.rco.checkpoints)
    steps = [teacher._replace(settings=settings)]
    for seed in student_seeds(job):
        steps += plan_students(job, seed, teachers=("teacher",), compares="teacher")
    return steps
