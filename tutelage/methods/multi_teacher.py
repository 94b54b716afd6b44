"""Several finished teachers: combined into one output, or compared one by one with the terms summed.

You et al. 2017, Learning from multiple teacher networks (KDD): the mean of their softened probabilities.
One by one, as for a student after several assistants: Son et al. 2021, arXiv:2009.08825, where random
teachers are left out of each step; here all are used at every step. The combination is in
`tutelage/teachers/ensemble.py`.
"""

import math
from collections.abc import Sequence

from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.methods import MethodConfig, MultiTeacherConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.methods.factory import TrainingFacts, build_distillation, build_multi_distillation
from tutelage.methods.method import Method
from tutelage.methods.registry import spec_of
from tutelage.models.preprocess import Classifier


def build_multi_teacher(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], facts: TrainingFacts
) -> Method:
    """Build a student with several teachers.

        probabilities, logits    sum over terms of  weight * term(student, combined teacher)
        divergences              sum over terms of  weight * sum_j share_j * term(student, teacher j)

    Students of assistants use the second form, with all earlier networks as teachers if the chain is dense.

    Raises:
        UsageError: wrong number of teachers or weights, or terms that do not fit these networks.
    """
    spec = spec_of(settings)
    spec.check_teachers(settings, len(others))
    if spec.combination(settings.methods) == "ensemble":
        return build_distillation(student, others[0], settings, facts)
    shares = facts.shares or tuple(1 / len(others) for _ in others)
    return build_multi_distillation(student, others, settings, facts, shares=shares)


def teacher_shares(
    several: MultiTeacherConfig, count: int, losses: Sequence[float] = ()
) -> tuple[float, ...]:
    """Return the weight of each teacher, the same for all images; they add up to 1.

        given         share_j = w_j / sum_k w_k
        validation    share_j = exp(-s l_j) / sum_k exp(-s l_k),   l_j the mean loss on labelled images

    Args:
        several: the settings; s is `sharpness`.
        count: number of teachers.
        losses: loss of each teacher on the validation images, in nats; for `validation`.

    >>> teacher_shares(MultiTeacherConfig(weights=(3.0, 1.0)), 2)
    (0.75, 0.25)
    """
    if several.weigh == "validation":
        least = min(losses)
        found = [math.exp(-several.sharpness * (loss - least)) for loss in losses]
    else:
        found = list(several.weights) or [1.0] * count
    return tuple(one / sum(found) for one in found)


def ensemble_temperature(objective: ObjectiveConfig) -> float:
    """Return the temperature for averaging probabilities: that of `kd`, else of the first term with one."""
    terms = selected_losses(objective)
    counted = ["kd", *loss_weights(objective)]
    found = (
        getattr(terms[n], "temperature", None) for n in counted if n in loss_weights(objective)
    )
    return next((float(one) for one in found if one is not None), 1.0)
