"""The plan of one run for each student: under one finished teacher, beside peers, or under itself."""

from tutelage.commands.plans.equal_compute import plan_equal_compute
from tutelage.commands.plans.peers_alone import plan_peer_controls
from tutelage.commands.plans.step import PlannedRun, plan_students, plan_teacher, student_seeds
from tutelage.config.job import DistillConfig
from tutelage.methods.registry import METHODS


def plan_direct(job: DistillConfig) -> list[PlannedRun]:
    """A teacher where the method wants one; for each seed a student and its control.

    Networks that learn beside the student are trained alone, too: see `alone`. Where the student teaches
    itself, a longer control is added for what that costs: see `longer`.
    """
    taught = METHODS[job.method].taught
    steps = [plan_teacher(job)] if taught else []
    name = "teacher" if taught else None
    for seed in student_seeds(job):
        steps += plan_students(job, seed, teachers=(name,) if name else (), compares=name)
        steps += [*plan_peer_controls(job, seed), *plan_equal_compute(job, seed)]
    return steps
