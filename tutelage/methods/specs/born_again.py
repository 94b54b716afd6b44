"""Born-again networks: one network again and again, each taught by the one before it.

Furlanello et al. 2018, arXiv:1805.04770, section 3.1: each generation begins from another seed.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodOptions
from tutelage.config.roles import GENERATION, STUDENT
from tutelage.methods.plan import (
    PlannedRun,
    plan_equal_compute,
    plan_students,
    student_seeds,
    train_config,
)
from tutelage.methods.spec import MethodSpec, one_teacher

GENERATION_SEED = 200_003
"""How far apart the seeds of two generations are."""


def _plan(spec: MethodSpec, job: DistillConfig) -> list[PlannedRun]:
    """Plan for each seed `generation-0`, trained without a teacher, those taught in turn, and the controls.

    The last generation is the student. It has the seed itself, so that it is compared with a control of its
    own seed; those before it have seeds of their own. A second control trains as long as all together.
    """
    count = job.methods.born_again.count
    runs = []
    for seed in student_seeds(job):
        before: tuple[str, ...] = ()
        for number in range(count):
            own = seed + (count - number) * GENERATION_SEED
            settings = train_config(job, job.student, role=GENERATION, seed=own)
            name = f"generation-{number}-{seed}"
            reference = before[0] if before else None
            runs.append(PlannedRun(name, settings, before, reference, seed, "student"))
            before = (name,)
        reference = before[0] if before else None
        runs += plan_students(job, seed, teachers=before, reference=reference)
        runs += plan_equal_compute(job, seed, spec.step_cost(job.methods))
    return runs


def _ensembles(runs: Sequence[PlannedRun]) -> Mapping[str, Sequence[str]]:
    """Collect all generations of each student, from the first to the student itself."""
    by_name = {run.name: run for run in runs}
    found = {}
    for student in (run for run in runs if run.settings.role == STUDENT):
        line = [student]
        while line[0].teachers:
            line.insert(0, by_name[line[0].teachers[0]])
        found[student.name] = [run.name for run in line]
    return found


def _cost(options: MethodOptions) -> Fraction:
    return Fraction(options.born_again.count + 1)


SPEC = MethodSpec(
    name="born-again",
    family="self",
    line="the network's own earlier generation",
    source="Furlanello 2018, arXiv:1805.04770",
    builder="factory:build_offline",
    several_runs=True,
    plan=_plan,
    check_teachers=one_teacher,
    step_cost=_cost,
    ensembles=_ensembles,
)
