"""Build a method from settings and networks."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from torch import Tensor

from tutelage.config.image_size import ImageSize
from tutelage.config.loss_schedule import FeatureLossConfig, weight_at
from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.methods import MethodConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext, Term
from tutelage.methods.method import LossWeighting, Method
from tutelage.methods.offline import OfflineDistillation
from tutelage.methods.registry import check_term, spec_of
from tutelage.methods.term_values import reads_teacher
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier
from tutelage.models.simkd import reuse_classifier
from tutelage.types import NO_NETWORK_INFO, Progress


class TrainingFacts(NamedTuple):
    """What a method needs to know about the training it is built for."""

    epochs: int
    """Epochs of the training."""

    classes: int
    """Number of classes."""

    ids: Tensor
    """Rows of the training images in the pack, int64 [N]."""

    size: ImageSize
    """Side of the stored images, in pixels."""

    label_smoothing: float = 0.0
    """Smoothing of the label term."""

    seed: int = 0
    """Seed of adapters and other new layers."""

    shares: tuple[float, ...] = ()
    """Weight of each teacher, adding up to 1; empty: equal weights."""


def build_method(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], facts: TrainingFacts
) -> Method:
    """Build the method that the settings select.

    Args:
        settings: method and objective.
        student: the network that is delivered at the end.
        others: finished teachers, or the networks trained beside the student.
        facts: facts of the training.

    Raises:
        UsageError: a term that the method cannot use, points that do not exist, or a term that does not fit
            these networks.
    """
    require_usable_losses(settings)
    module, _, function = spec_of(settings).builder.partition(":")
    builder = getattr(import_module(f"tutelage.methods.{module}"), function)
    return cast(Method, builder(settings, student, others, facts))


def build_offline(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], facts: TrainingFacts
) -> Method:
    """Build a student for finished teachers that give one output.

    Terms are built for the last teacher, which in a checkpoint sequence is the final checkpoint.
    """
    return build_distillation(student, others[-1], settings, facts)


def require_usable_losses(settings: MethodConfig) -> None:
    """Raise UsageError, with the reason, for a term that the method cannot use."""
    for name in loss_weights(settings):
        looks_inside = isinstance(selected_losses(settings)[name], FeatureLossConfig)
        check_term(settings.method, name, looks_inside=looks_inside, settings=settings.methods)


def build_distillation(
    student: Classifier, teacher: Classifier, objective: ObjectiveConfig, facts: TrainingFacts
) -> OfflineDistillation:
    """Build a student that minimises an objective for one teacher.

    With `simkd` this changes the student's network: it takes the teacher's classifier.

    Raises:
        UsageError: points that do not exist, or a term that does not fit these networks.
    """
    if "simkd" in loss_weights(objective):
        assert objective.losses.simkd is not None
        reduction = objective.losses.simkd.reduction
        reuse_classifier(student, teacher, stored_size=facts.size, reduction=reduction)
    return build_multi_distillation(student, [teacher], objective, facts, shares=(1.0,))


def build_multi_distillation(
    student: Classifier,
    teachers: Sequence[Classifier],
    objective: ObjectiveConfig,
    facts: TrainingFacts,
    *,
    shares: Sequence[float],
) -> OfflineDistillation:
    """Build a student for several teachers, with a copy of each term for every teacher.

    Args:
        student: the network.
        teachers: the teachers' networks.
        objective: the terms and their weights.
        facts: facts of the training.
        shares: weight of each teacher; they add up to 1.

    Raises:
        UsageError: points that do not exist, or a term that does not fit these networks.
    """
    by_teacher = [
        build_terms_between(student, teacher, objective, facts, salt=number)
        for number, teacher in enumerate(teachers)
    ]
    further = [{n: t for n, t in terms.items() if reads_teacher(t)} for terms in by_teacher[1:]]
    return OfflineDistillation(
        student,
        by_teacher[0],
        loss_weights(objective),
        look=feature_extractor(student, [by_teacher[0], *further]),
        weighing=loss_weighting(objective, facts.epochs),
        further=further,
        shares=shares,
    )


def build_terms_between(
    student: Classifier,
    teacher: Classifier,
    objective: ObjectiveConfig,
    facts: TrainingFacts,
    *,
    salt: int = 0,
) -> dict[str, Term]:
    """Build the terms of an objective between two networks; `salt` makes the seeds of their adapters differ.

    Raises:
        UsageError: points that do not exist, or a term that does not fit these networks.
    """
    inside = any(
        isinstance(settings, FeatureLossConfig) for settings in selected_losses(objective).values()
    )
    context = BuildContext(
        student=inspect_network(student, facts.size) if inside else NO_NETWORK_INFO,
        teacher=inspect_network(teacher, facts.size) if inside else NO_NETWORK_INFO,
        classes=facts.classes,
        images=len(facts.ids),
        ids=facts.ids,
        label_smoothing=facts.label_smoothing,
    )
    return build_terms(objective, context, seed=facts.seed + salt)


def feature_extractor(
    student: Classifier, by_teacher: Sequence[Mapping[str, Term]]
) -> FeatureExtractor | None:
    """Return a callable that runs the student and records the features terms need; None if there are none."""
    points = [
        p for terms in by_teacher for term in terms.values() for p in term.needs.student_points
    ]
    return FeatureExtractor(student, points) if points else None


def loss_weighting(objective: ObjectiveConfig, epochs: int) -> LossWeighting:
    """Return the schedule of the weight of each term."""
    settings, all_weights = selected_losses(objective), loss_weights(objective)

    def weights_now(progress: Progress) -> Mapping[str, float]:
        epoch = progress.fraction * epochs
        return {
            name: weight_at(settings[name], weight, epoch=epoch, epochs=epochs)
            for name, weight in all_weights.items()
        }

    return weights_now
