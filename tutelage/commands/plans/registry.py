"""The runs of a whole job, by its method."""

from collections.abc import Callable, Mapping

from tutelage.commands.plans.assistants import assistant_steps
from tutelage.commands.plans.born_again import generation_steps
from tutelage.commands.plans.checkpoint_sequence import course_steps
from tutelage.commands.plans.direct import direct_steps
from tutelage.commands.plans.multi_teacher import several_steps
from tutelage.commands.plans.specialists import specialist_steps
from tutelage.commands.plans.step import Step
from tutelage.config.job import Job
from tutelage.config.methods import Name

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
