"""The plan of several teachers: each is trained on its own, and all of them teach every student."""

import dataclasses

from tutelage.commands.plans.step import PlannedRun, plan_students, student_seeds, train_config
from tutelage.config.job import DistillConfig


def plan_multi_teacher(job: DistillConfig) -> list[PlannedRun]:
    """`teacher`, `teacher-2`, ..., which differ in network and seed; for each seed a student and a control.

    Networks of one name get seeds of their own as well: otherwise they would be one network said twice.
    """
    models = (job.teacher.model, *job.methods.multi_teacher.models)
    names = ("teacher", *(f"teacher-{number}" for number in range(2, len(models) + 1)))
    steps = [
        PlannedRun(
            name,
            train_config(
                job,
                dataclasses.replace(job.teacher, model=model),
                role="teacher",
                seed=job.seed + number,
            ),
            makes=None if number else "teacher",
        )
        for number, (name, model) in enumerate(zip(names, models, strict=True))
    ]
    for seed in student_seeds(job):
        steps += plan_students(job, seed, teachers=names, compares="teacher")
    return steps
