"""The runs of a whole job, by its method."""

from collections.abc import Callable, Mapping

from tutelage.commands.plans.assistants import plan_assistants
from tutelage.commands.plans.born_again import plan_generations
from tutelage.commands.plans.checkpoint_sequence import plan_checkpoint_sequence
from tutelage.commands.plans.direct import plan_direct
from tutelage.commands.plans.multi_teacher import plan_multi_teacher
from tutelage.commands.plans.specialists import plan_specialists
from tutelage.commands.plans.step import PlannedRun
from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodName

PLANS: Mapping[MethodName, Callable[[DistillConfig], list[PlannedRun]]] = {
    "multi-teacher": plan_multi_teacher,
    "rco": plan_checkpoint_sequence,
    "specialists": plan_specialists,
    "assistants": plan_assistants,
    "born-again": plan_generations,
}
"""Methods that take other runs than a student and its control, beside a teacher where they want one."""


def plan_job(job: DistillConfig) -> list[PlannedRun]:
    """The runs of a whole job, in an order that respects who needs whom."""
    return PLANS.get(job.method, plan_direct)(job)
