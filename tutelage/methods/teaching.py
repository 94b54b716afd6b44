"""Settings and two networks -> the method by which one teaches the other."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from tutelage.losses.settings import Objective, chosen, weights
from tutelage.losses.table import make_terms
from tutelage.losses.term import Ground
from tutelage.losses.weight_settings import Pointed, weight_at
from tutelage.methods.method import Weighing
from tutelage.methods.offline import Offline
from tutelage.models.anatomy import study
from tutelage.models.preprocess import Classifier
from tutelage.models.reuse import reuse_classifier
from tutelage.models.taps import Tapped
from tutelage.nouns import UNSTUDIED, Progress


class Lesson(NamedTuple):
    """How long is taught, and what about: epochs; classes; ids of the pictures; their size."""

    epochs: int
    classes: int
    ids: Tensor
    size: int
    label_smoothing: float = 0.0
    seed: int = 0


def taught(
    student: Classifier, teacher: Classifier, objective: Objective, lesson: Lesson
) -> Offline:
    """A student that minimises an objective under a teacher; points, adapters and memories are made.

    With `simkd` the student's network changes: it takes its teacher's classifier.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    if "simkd" in weights(objective):
        assert objective.terms.simkd is not None
        reduction = objective.terms.simkd.reduction
        reuse_classifier(student, teacher, stored_size=lesson.size, reduction=reduction)
    inside = any(isinstance(settings, Pointed) for settings in chosen(objective).values())
    ground = Ground(
        student=study(student, lesson.size) if inside else UNSTUDIED,
        teacher=study(teacher, lesson.size) if inside else UNSTUDIED,
        classes=lesson.classes,
        images=len(lesson.ids),
        ids=lesson.ids,
        label_smoothing=lesson.label_smoothing,
    )
    terms = make_terms(objective, ground, seed=lesson.seed)
    points = [point for term in terms.values() for point in term.needs.student_points]
    return Offline(
        student,
        terms,
        weights(objective),
        look=Tapped(student, points) if points else None,
        weighing=_weighing(objective, lesson.epochs),
    )


def _weighing(objective: Objective, epochs: int) -> Weighing:
    """The weight of each term as training goes on."""
    settings, all_weights = chosen(objective), weights(objective)

    def weighing(progress: Progress) -> Mapping[str, float]:
        epoch = progress.fraction * epochs
        return {
            name: weight_at(settings[name], weight, epoch=epoch, epochs=epochs)
            for name, weight in all_weights.items()
        }

    return weighing
