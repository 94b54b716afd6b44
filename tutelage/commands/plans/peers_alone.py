"""The networks that learn beside a student, each trained alone: what learning together gave each of them.

Budget, pictures, their order and views are the student's; the first weights are those the network had beside
it. So a network that its companions told nothing would end as the same bytes.
"""

import dataclasses

from tutelage.commands.plans.step import Step, single_of
from tutelage.config.job import Job
from tutelage.engine.peers import companion_seed
from tutelage.methods.registry import companion_names, companions


def alone_steps(job: Job, seed: int) -> list[Step]:
    """For each companion of the student of a seed, a run of it without the others; none where it has none."""
    names = companion_names(job, job.student.model)
    models = companions(job, job.student.model)
    steps = []
    for number, (name, model) in enumerate(zip(names, models, strict=True), 1):
        trainee = dataclasses.replace(job.student, model=model, weights="none")
        own = single_of(job, trainee, role="alone", seed=seed)
        own = dataclasses.replace(own, init_seed=companion_seed(seed, number))
        step = Step(alone_name(name, seed), own, serves=seed)
        steps.append(step._replace(makes="student") if model == job.student.model else step)
    return steps


def alone_name(companion: str, seed: int) -> str:
    """The name of the run in which a companion of the student of some seed is trained alone."""
    return f"{companion}-alone-{seed}"
