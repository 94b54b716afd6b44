"""The plan of born-again networks: one network again and again, each taught by the one before it.

Furlanello et al. 2018, arXiv:1805.04770, section 3.1: each generation begins from another seed.
"""

from tutelage.commands.plans.equal_compute import plan_equal_compute
from tutelage.commands.plans.step import PlannedRun, plan_students, student_seeds, train_config
from tutelage.config.job import DistillConfig

GENERATION_SEED = 200_003
"""How far apart the seeds of two generations are."""


def plan_generations(job: DistillConfig) -> list[PlannedRun]:
    """For each seed: `generation-0`, which is plain training; those taught by it and after it; a control.

    The last generation is the student. It has the seed itself, so that it is compared with a control of its
    own seed, and those before it have seeds of their own. A second control trains as long as all together.
    """
    count = job.methods.born_again.count
    steps = []
    for seed in student_seeds(job):
        before: tuple[str, ...] = ()
        for number in range(count):
            own = seed + (count - number) * GENERATION_SEED
            settings = train_config(job, job.student, role="generation", seed=own)
            name = f"generation-{number}-{seed}"
            compares = before[0] if before else None
            steps.append(PlannedRun(name, settings, before, compares, serves=seed, makes="student"))
            before = (name,)
        compares = before[0] if before else None
        steps += plan_students(job, seed, teachers=before, compares=compares)
        steps += plan_equal_compute(job, seed)
    return steps


def ensembles_of(steps: list[PlannedRun]) -> dict[str, list[str]]:
    """All generations of each student, from the first to itself, by the student's name."""
    by_name = {step.name: step for step in steps}
    found = {}
    for step in steps:
        if step.settings.role != "student" or step.settings.method != "born-again":
            continue
        line = [step]
        while line[0].teachers:
            line.insert(0, by_name[line[0].teachers[0]])
        found[step.name] = [one.name for one in line]
    return found
