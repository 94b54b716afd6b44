"""The plan of one run for each student: under one finished teacher, beside peers, or under itself."""

from tutelage.commands.plans.equal_compute import longer_step
from tutelage.commands.plans.peers_alone import alone_steps
from tutelage.commands.plans.step import Step, seeds_of, student_steps, teacher_step
from tutelage.config.job import Job
from tutelage.methods.registry import METHODS


def direct_steps(job: Job) -> list[Step]:
    """A teacher where the method wants one; for each seed a student and its control.

    Networks that learn beside the student are trained alone, too: see `alone`. Where the student teaches
    itself, a longer control is added for what that costs: see `longer`.
    """
    taught = METHODS[job.method].taught
    steps = [teacher_step(job)] if taught else []
    name = "teacher" if taught else None
    for seed in seeds_of(job):
        steps += student_steps(job, seed, teachers=(name,) if name else (), compares=name)
        steps += [*alone_steps(job, seed), *longer_step(job, seed)]
    return steps
