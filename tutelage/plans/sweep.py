"""The plan of a sweep: objectives side by side under one teacher."""

import dataclasses
from collections.abc import Mapping

from tutelage.losses.settings import Objective
from tutelage.plans.step import Step, seeds_of, single_of, teacher_step
from tutelage.settings import Job


def sweep_steps(job: Job, objectives: Mapping[str, Objective]) -> list[Step]:
    """The runs of a sweep: one teacher, and for each seed a control and a student of each objective."""
    steps = [teacher_step(job)]
    for seed in seeds_of(job):
        alone = single_of(job, job.student, role="control", seed=seed)
        steps.append(Step(f"control-{seed}", alone, compares="teacher"))
        for name, objective in objectives.items():
            own = dataclasses.replace(
                job, alpha=objective.alpha, terms=objective.terms, own=objective.own
            )
            taught = single_of(own, job.student, role="student", seed=seed)
            steps.append(Step(f"{name}-{seed}", taught, teachers=("teacher",), compares="teacher"))
    return steps
