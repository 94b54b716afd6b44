"""Settings and networks -> the method by which one teaches the other."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from torch import Tensor

from tutelage.config.loss_schedule import FeatureLossConfig, weight_at
from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.methods import MethodConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext, Term
from tutelage.methods.method import LossWeighting, Method
from tutelage.methods.offline import OfflineDistillation
from tutelage.methods.registry import METHODS, check_term
from tutelage.methods.term_values import reads_teacher
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier
from tutelage.models.simkd import reuse_classifier
from tutelage.types import NO_NETWORK_INFO, Progress


class TrainingFacts(NamedTuple):
    """How long is taught, and what about: epochs; classes; ids of the images; their size.

    shares: how much each of several teachers counts, adding up to 1; empty: all the same.
    """

    epochs: int
    classes: int
    ids: Tensor
    size: int
    label_smoothing: float = 0.0
    seed: int = 0
    shares: tuple[float, ...] = ()


def build_method(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], lesson: TrainingFacts
) -> Method:
    """The method of some settings.

    Args:
        settings: who teaches, and what.
        student: the network that is handed over at the end.
        others: finished teachers, or the networks that learn beside the student.
        lesson: how long, and about what.

    Raises:
        UsageError: a term that the method cannot teach by, points that do not exist, or an idea that does
            not fit these networks.
    """
    require_usable_losses(settings)
    module = METHODS[settings.method].module
    if module == "offline":
        # Of a course the last teacher is the finished one: what terms keep of a teacher is of that one.
        return build_distillation(student, others[-1], settings, lesson)
    builder = f"build_{module.rpartition('.')[2]}"
    found = getattr(import_module(f"tutelage.methods.{module}"), builder)(
        settings, student, others, lesson
    )
    return cast(Method, found)


def require_usable_losses(settings: MethodConfig) -> None:
    """Every term of an objective can be used under the method.

    Raises:
        UsageError: one cannot, and why.
    """
    for name in loss_weights(settings):
        looks_inside = isinstance(selected_losses(settings)[name], FeatureLossConfig)
        check_term(settings.method, name, looks_inside=looks_inside, settings=settings.methods)


def build_distillation(
    student: Classifier, teacher: Classifier, objective: ObjectiveConfig, lesson: TrainingFacts
) -> OfflineDistillation:
    """A student that minimises an objective under a teacher; points, adapters and memories are made.

    With `simkd` the student's network changes: it takes its teacher's classifier.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    if "simkd" in loss_weights(objective):
        assert objective.losses.simkd is not None
        reduction = objective.losses.simkd.reduction
        reuse_classifier(student, teacher, stored_size=lesson.size, reduction=reduction)
    return build_multi_distillation(student, [teacher], objective, lesson, shares=(1.0,))


def build_multi_distillation(
    student: Classifier,
    teachers: Sequence[Classifier],
    objective: ObjectiveConfig,
    lesson: TrainingFacts,
    *,
    shares: Sequence[float],
) -> OfflineDistillation:
    """A student under several teachers that are heard apart, each term as often as there are teachers.

    Args:
        student: the network.
        teachers: their networks.
        objective: the terms and their weights.
        lesson: how long, and about what.
        shares: of each teacher; they add up to 1.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    lessons = [
        build_terms_between(student, teacher, objective, lesson, salt=number)
        for number, teacher in enumerate(teachers)
    ]
    further = [{n: t for n, t in terms.items() if reads_teacher(t)} for terms in lessons[1:]]
    return OfflineDistillation(
        student,
        lessons[0],
        loss_weights(objective),
        look=feature_extractor(student, [lessons[0], *further]),
        weighing=loss_weighting(objective, lesson.epochs),
        further=further,
        shares=shares,
    )


def build_terms_between(
    student: Classifier,
    teacher: Classifier,
    objective: ObjectiveConfig,
    lesson: TrainingFacts,
    *,
    salt: int = 0,
) -> dict[str, Term]:
    """The terms of an objective between two networks; `salt` seeds adapters that must differ from others'.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    inside = any(
        isinstance(settings, FeatureLossConfig) for settings in selected_losses(objective).values()
    )
    ground = BuildContext(
        student=inspect_network(student, lesson.size) if inside else NO_NETWORK_INFO,
        teacher=inspect_network(teacher, lesson.size) if inside else NO_NETWORK_INFO,
        classes=lesson.classes,
        images=len(lesson.ids),
        ids=lesson.ids,
        label_smoothing=lesson.label_smoothing,
    )
    return build_terms(objective, ground, seed=lesson.seed + salt)


def feature_extractor(
    student: Classifier, lessons: Sequence[Mapping[str, Term]]
) -> FeatureExtractor | None:
    """What calls a network and records all that some terms look at in it; None where they look at nothing."""
    points = [p for terms in lessons for term in terms.values() for p in term.needs.student_points]
    return FeatureExtractor(student, points) if points else None


def loss_weighting(objective: ObjectiveConfig, epochs: int) -> LossWeighting:
    """The weight of each term as training goes on."""
    settings, all_weights = selected_losses(objective), loss_weights(objective)

    def weights_now(progress: Progress) -> Mapping[str, float]:
        epoch = progress.fraction * epochs
        return {
            name: weight_at(settings[name], weight, epoch=epoch, epochs=epochs)
            for name, weight in all_weights.items()
        }

    return weights_now
