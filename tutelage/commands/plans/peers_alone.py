"""The networks that learn beside a student, each trained alone: what learning together gave each of them.

Budget, images, their order and views are the student's; the first weights are those the network had beside
it. So a network that its companions told nothing would end as the same bytes.
"""

import dataclasses

from tutelage.commands.plans.step import PlannedRun, train_config
from tutelage.config.job import DistillConfig
from tutelage.engine.peers import peer_seed
from tutelage.methods.registry import peer_models, peer_names


def plan_peer_controls(job: DistillConfig, seed: int) -> list[PlannedRun]:
    """For each companion of the student of a seed, a run of it without the others; none where it has none."""
    names = peer_names(job, job.student.model)
    models = peer_models(job, job.student.model)
    steps = []
    for number, (name, model) in enumerate(zip(names, models, strict=True), 1):
        trainee = dataclasses.replace(job.student, model=model, weights="none")
        own = train_config(job, trainee, role="peer-control", seed=seed)
        own = dataclasses.replace(own, init_seed=peer_seed(seed, number))
        step = PlannedRun(peer_control_name(name, seed), own, serves=seed)
        steps.append(step._replace(makes="student") if model == job.student.model else step)
    return steps


def peer_control_name(companion: str, seed: int) -> str:
    """The name of the run in which a companion of the student of some seed is trained alone."""
    return f"{companion}-control-{seed}"
