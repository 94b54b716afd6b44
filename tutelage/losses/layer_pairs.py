"""Where two networks are compared: the pairs of points a loss needs, chosen from their structure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.errors import UsageError, suggest
from tutelage.losses.term import BuildContext
from tutelage.types import FeaturePoint, NetworkInfo, Stage

Wants = Literal["stages", "before", "middle", "last", "sections", "vector"]
"""What a loss compares.

    stages      the output of each stage
    before      the same, before its last activation
    middle      the output of the middle stage
    last        the output of the last stage
    sections    the input and the output of each stage, alternating
    vector      the input of the classifier
"""


class LayerPair(NamedTuple):
    """A point of the student and the point of the teacher it is compared with."""

    student: FeaturePoint
    teacher: FeaturePoint


def layer_pairs(
    wants: Wants, settings: FeatureLossConfig, context: BuildContext, *, term: str
) -> tuple[LayerPair, ...]:
    """Return the points a term compares: those its settings name, else those that fit what it wants.

    Stages are paired from the last to the first, by how much smaller than the image they are.

    Raises:
        UsageError: a point does not exist, the two networks name different numbers of points, or a network
            has no structure to choose from.
    """
    named = len(settings.student_points), len(settings.teacher_points)
    if named[0] != named[1]:
        raise UsageError(
            f"losses.{term} names a different number of points in the two networks",
            found=f"{named[0]} student_points, {named[1]} teacher_points",
            expected="the same number of both",
        )
    if settings.student_points:
        student = [
            _named(path, context.student, term, "student") for path in settings.student_points
        ]
        teacher = [
            _named(path, context.teacher, term, "teacher") for path in settings.teacher_points
        ]
    elif wants == "vector":
        student, teacher = [_vector(context.student, term)], [_vector(context.teacher, term)]
    else:
        both = _staged(context.student.stages, context.teacher.stages)
        if not both:
            raise UsageError(
                f"losses.{term} compares stages, and no two of these networks correspond",
                fix=f"--losses.{term}.student-points and --losses.{term}.teacher-points",
            )
        student = _of(wants, [pair[0] for pair in both])
        teacher = _of(wants, [pair[1] for pair in both])
    return tuple(LayerPair(s, t) for s, t in zip(student, teacher, strict=True))


def _named(path: str, info: NetworkInfo, term: str, role: str) -> FeaturePoint:
    if path not in info.shapes:
        raise UsageError(
            f"losses.{term}: the {role} has no point {path}",
            expected=suggest(path, list(info.shapes)),
        )
    if path in info.overwritten:
        raise UsageError(
            f"losses.{term}: the output of the {role}'s {path} is overwritten by a later layer",
            fix="a later point, such as the input of the activation that follows",
        )
    return FeaturePoint(path, info.shapes[path])


def _vector(info: NetworkInfo, term: str) -> FeaturePoint:
    if info.vector is None:
        raise UsageError(
            f"losses.{term} compares the inputs of the classifiers; {info.family} ends in no linear layer",
            fix=f"--losses.{term}.student-points and --losses.{term}.teacher-points",
        )
    return info.vector


def _staged(student: Sequence[Stage], teacher: Sequence[Stage]) -> list[tuple[Stage, Stage]]:
    """Pair stages of equal size; where sizes do not correspond, pair them in proportion."""
    if len(student) == len(teacher):
        return list(zip(student, teacher, strict=True))
    by_size: dict[tuple[int, ...], Stage] = {
        stage.end.shape[1:]: stage for stage in teacher if len(stage.end.shape) == 3
    }
    same = [(s, by_size[s.end.shape[1:]]) for s in student if s.end.shape[1:] in by_size]
    if len(same) == min(len(student), len(teacher)):
        return same
    count = min(len(student), len(teacher))
    return [
        (student[(i + 1) * len(student) // count - 1], teacher[(i + 1) * len(teacher) // count - 1])
        for i in range(count)
    ]


def _of(wants: Wants, stages: Sequence[Stage]) -> list[FeaturePoint]:
    if wants == "sections":
        return [point for stage in stages for point in (stage.entry, stage.end)]
    if wants == "before":
        return [stage.before for stage in stages]
    ends = [stage.end for stage in stages]
    if wants == "middle":
        return [ends[(len(ends) - 1) // 2]]
    return ends[-1:] if wants == "last" else ends
