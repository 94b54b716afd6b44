"""Settings and networks -> the method by which one teaches the other."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from torch import Tensor

from tutelage.config.loss_schedule import Pointed, weight_at
from tutelage.config.loss_weights import chosen, weights
from tutelage.config.methods import Teaching
from tutelage.config.objective import Objective
from tutelage.losses.registry import make_terms
from tutelage.losses.term import Ground, Term
from tutelage.methods.method import Method, Weighing
from tutelage.methods.offline import Offline
from tutelage.methods.registry import METHODS, refuse_term
from tutelage.methods.term_values import hears
from tutelage.models.feature_hooks import Tapped
from tutelage.models.introspect import study
from tutelage.models.preprocess import Classifier
from tutelage.models.simkd import reuse_classifier
from tutelage.types import UNSTUDIED, Progress


class Lesson(NamedTuple):
    """How long is taught, and what about: epochs; classes; ids of the pictures; their size.

    shares: how much each of several teachers counts, adding up to 1; empty: all the same.
    """

    epochs: int
    classes: int
    ids: Tensor
    size: int
    label_smoothing: float = 0.0
    seed: int = 0
    shares: tuple[float, ...] = ()


def make_method(
    settings: Teaching, student: Classifier, others: Sequence[Classifier], lesson: Lesson
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
    require_terms(settings)
    module = METHODS[settings.method].module
    if module == "offline":
        # Of a course the last teacher is the finished one: what terms keep of a teacher is of that one.
        return taught(student, others[-1], settings, lesson)
    found = import_module(f"tutelage.methods.{module}").build(settings, student, others, lesson)
    return cast(Method, found)


def require_terms(settings: Teaching) -> None:
    """Every term of an objective can be used under the method.

    Raises:
        UsageError: one cannot, and why.
    """
    for name in weights(settings):
        looks_inside = isinstance(chosen(settings)[name], Pointed)
        refuse_term(settings.method, name, looks_inside=looks_inside, settings=settings.methods)


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
    return taught_by_each(student, [teacher], objective, lesson, shares=(1.0,))


def taught_by_each(
    student: Classifier,
    teachers: Sequence[Classifier],
    objective: Objective,
    lesson: Lesson,
    *,
    shares: Sequence[float],
) -> Offline:
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
        terms_between(student, teacher, objective, lesson, salt=number)
        for number, teacher in enumerate(teachers)
    ]
    further = [{n: t for n, t in terms.items() if hears(t)} for terms in lessons[1:]]
    return Offline(
        student,
        lessons[0],
        weights(objective),
        look=looking(student, [lessons[0], *further]),
        weighing=weighing(objective, lesson.epochs),
        further=further,
        shares=shares,
    )


def terms_between(
    student: Classifier, teacher: Classifier, objective: Objective, lesson: Lesson, *, salt: int = 0
) -> dict[str, Term]:
    """The terms of an objective between two networks; `salt` seeds adapters that must differ from others'.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit these networks.
    """
    inside = any(isinstance(settings, Pointed) for settings in chosen(objective).values())
    ground = Ground(
        student=study(student, lesson.size) if inside else UNSTUDIED,
        teacher=study(teacher, lesson.size) if inside else UNSTUDIED,
        classes=lesson.classes,
        images=len(lesson.ids),
        ids=lesson.ids,
        label_smoothing=lesson.label_smoothing,
    )
    return make_terms(objective, ground, seed=lesson.seed + salt)


def looking(student: Classifier, lessons: Sequence[Mapping[str, Term]]) -> Tapped | None:
    """What calls a network and records all that some terms look at in it; None where they look at nothing."""
    points = [p for terms in lessons for term in terms.values() for p in term.needs.student_points]
    return Tapped(student, points) if points else None


def weighing(objective: Objective, epochs: int) -> Weighing:
    """The weight of each term as training goes on."""
    settings, all_weights = chosen(objective), weights(objective)

    def weights_now(progress: Progress) -> Mapping[str, float]:
        epoch = progress.fraction * epochs
        return {
            name: weight_at(settings[name], weight, epoch=epoch, epochs=epochs)
            for name, weight in all_weights.items()
        }

    return weights_now
