"""A control of equal compute: plain training for as long as a student that teaches itself takes.

The control of equal budget sees as many images as the student. A student that asks itself twice, or that
is trained generation after generation, costs more than that, and plain training could use the time, too.
"""

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction

from tutelage.commands.plans.step import PlannedRun, train_config
from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodConfig, MethodName
from tutelage.methods.registry import METHODS

WORTH: Mapping[MethodName, Fraction] = {
    "cs-kd": Fraction(4, 3),
    "mean-teacher": Fraction(4, 3),
    "byot": Fraction(11, 10),
}
"""What a step of a method costs, in plain steps; 1 where nothing is said.

A plain step is one pass forward and one backward, which takes about twice as long: one more pass forward
makes it 4/3. Exits add a few layers, which is measured rather than counted.
"""


def plan_equal_compute(job: DistillConfig, seed: int) -> list[PlannedRun]:
    """Plain training of the student at equal compute; none where the control is that already."""
    epochs = equal_compute_epochs(job, job.student.epochs)
    if epochs == job.student.epochs:
        return []
    trainee = dataclasses.replace(job.student, epochs=epochs)
    settings = train_config(job, trainee, role="control-equal-compute", seed=seed)
    return [PlannedRun(f"control-equal-compute-{seed}", settings, serves=seed, makes="student")]


def equal_compute_epochs(settings: MethodConfig, epochs: int) -> int:
    """As many epochs of plain training as a method that teaches itself is worth, rounded up.

    >>> equal_compute_epochs(MethodConfig(method="mean-teacher"), 30), equal_compute_epochs(MethodConfig(method="ps-kd"), 30)
    (40, 30)
    >>> equal_compute_epochs(MethodConfig(method="born-again"), 30)
    90
    """
    if METHODS[settings.method].family != "self":
        return epochs
    worth = WORTH.get(settings.method, Fraction(1))
    if settings.method == "born-again":
        worth = Fraction(settings.methods.born_again.count + 1)
    return math.ceil(worth * epochs)
