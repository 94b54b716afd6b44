"""Several finished teachers: what they say together, or each of them apart with the terms added up.

You et al. 2017, Learning from multiple teacher networks (KDD): the mean of their softened probabilities.
Taught by each, as a student after several assistants is: Son et al. 2021, arXiv:2009.08825, where at random
some of them are left out of a step; here all are heard at every step. How words are combined is in
`tutelage/teachers/ensemble.py`.
"""

import math
from collections.abc import Sequence

from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.methods import MethodConfig, MultiTeacherConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.errors import UsageError
from tutelage.methods.factory import TrainingFacts, build_distillation, build_multi_distillation
from tutelage.methods.method import Method
from tutelage.models.preprocess import Classifier


def build_multi_teacher(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], lesson: TrainingFacts
) -> Method:
    """A student of several teachers.

        probabilities, logits    sum over terms of  weight * term(student, what they say together)
        divergences              sum over terms of  weight * sum_j share_j * term(student, teacher j)

    Assistants' students are taught in the second way, by all networks before them where the chain is dense.

    Raises:
        UsageError: as many teachers or weights as do not fit, or terms that do not fit these networks.
    """
    require_teachers(settings, len(others))
    if (
        settings.method == "multi-teacher"
        and settings.methods.multi_teacher.combine != "divergences"
    ):
        return build_distillation(student, others[0], settings, lesson)
    shares = lesson.shares or tuple(1 / len(others) for _ in others)
    return build_multi_distillation(student, others, settings, lesson, shares=shares)


def require_teachers(settings: MethodConfig, count: int) -> None:
    """So many finished teachers fit the method, and what is said of their weights.

    Raises:
        UsageError: they do not.
    """
    methods = settings.methods
    alone = settings.method in ("offline", "born-again") or (
        settings.method == "assistants" and not methods.assistants.dense
    )
    if alone and count > 1:
        raise UsageError(
            f"the method {settings.method} has one teacher",
            found=f"{count} teachers",
            fix="--method multi-teacher",
        )
    if settings.method == "rco" and count != methods.rco.checkpoints:
        raise UsageError(
            "the course has another number of checkpoints than there are",
            found=f"{count} checkpoints",
            expected=f"methods.rco.checkpoints = {methods.rco.checkpoints}",
            fix=f"--methods.rco.checkpoints {count}",
        )
    if settings.method == "specialists" and count < 2:
        raise UsageError(
            "a generalist without specialists",
            found=f"{count} teachers",
            fix="tutelage run --method specialists, which trains them",
        )
    if settings.method == "multi-teacher":
        _require_weights(methods.multi_teacher, count)


def _require_weights(several: MultiTeacherConfig, count: int) -> None:
    if several.weigh == "confidence" and several.combine == "divergences":
        raise UsageError(
            "divergences cannot be weighted image by image: a term is one number for a batch",
            found="methods.multi_teacher: combine = divergences, weigh = confidence",
            expected="probabilities: for the forward KL their mean gives the same gradient",
            fix="--methods.multi-teacher.combine probabilities",
        )
    if not several.weights:
        return
    if several.weigh != "given":
        raise UsageError(
            "the teachers' weights are given and measured as well",
            found=f"methods.multi_teacher: weigh = {several.weigh}, weights = {list(several.weights)}",
            fix="leave out --methods.multi-teacher.weights, or --methods.multi-teacher.weigh given",
        )
    if len(several.weights) != count or not sum(several.weights) > 0:
        raise UsageError(
            "the weights do not fit the teachers",
            found=f"weights {list(several.weights)}, {count} teachers",
            expected="one for each teacher, not all of them 0",
            fix="--methods.multi-teacher.weights",
        )


def teacher_shares(
    several: MultiTeacherConfig, count: int, losses: Sequence[float] = ()
) -> tuple[float, ...]:
    """How much each teacher counts, adding up to 1, whatever the image.

        given         share_j = w_j / sum_k w_k
        validation    share_j = exp(-s l_j) / sum_k exp(-s l_k),   l_j the mean loss on labelled images

    Args:
        several: the settings; s is `sharpness`.
        count: of teachers.
        losses: of each teacher on the validation images, in nats; for `validation`.

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
    """The temperature at which probabilities are averaged: that of `kd`, else of the first term with one."""
    terms = selected_losses(objective)
    counted = ["kd", *loss_weights(objective)]
    found = (
        getattr(terms[n], "temperature", None) for n in counted if n in loss_weights(objective)
    )
    return next((float(one) for one in found if one is not None), 1.0)
