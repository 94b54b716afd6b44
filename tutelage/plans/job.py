"""The runs of a whole job, by its method."""

from collections.abc import Callable, Mapping

from tutelage.methods.settings import Name
from tutelage.plans.assistants import assistant_steps
from tutelage.plans.course import course_steps
from tutelage.plans.direct import direct_steps
from tutelage.plans.generations import generation_steps
from tutelage.plans.several import several_steps
from tutelage.plans.specialists import specialist_steps
from tutelage.plans.step import Step
from tutelage.settings import Job

PLANS: Mapping[Name, Callable[[Job], list[Step]]] = {
    "several": several_steps,
    "course": course_steps,
    "specialists": specialist_steps,
    "assistants": assistant_steps,
    "generations": generation_steps,
}
"""Methods that take other runs than a student and its control, beside a teacher where they want one."""


def job_steps(job: Job) -> list[Step]:
    """The runs of a whole job, in an order that respects who needs whom."""
    return PLANS.get(job.method, direct_steps)(job)
