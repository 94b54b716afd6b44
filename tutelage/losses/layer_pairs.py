"""Where two networks are compared: the points that an idea asks for, chosen from their structure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.errors import UsageError, suggest
from tutelage.losses.term import BuildContext
from tutelage.types import FeaturePoint, NetworkInfo, Stage

Wants = Literal["stages", "before", "middle", "last", "sections", "vector"]
"""What an idea compares.

stages: what each stage returns; before: the same before its last activation; middle: what the middle stage
returns; last: what the last one returns; sections: what each stage is given and returns, one after the
other; vector: what the classifier is given.
"""


class LayerPair(NamedTuple):
    """A point of the student and the point of the teacher that it is compared with."""

    student: FeaturePoint
    teacher: FeaturePoint


def layer_pairs(
    wants: Wants, settings: FeatureLossConfig, ground: BuildContext, *, term: str
) -> tuple[LayerPair, ...]:
    """The points of a term: those its settings name, else those that fit what the idea wants.

    Stages are paired from the last to the first, by how much smaller than the image they are.

    Raises:
        UsageError: points that do not exist, not as many for both networks, or a structure without any.
    """
    named = len(settings.student_points), len(settings.teacher_points)
    if named[0] != named[1]:
        raise UsageError(
            f"losses.{term} names points of one network that have no partner in the other",
            found=f"{named[0]} student_points, {named[1]} teacher_points",
            expected="as many of both",
        )
    if settings.student_points:
        student = [
            _named(path, ground.student, term, "student") for path in settings.student_points
        ]
        teacher = [
            _named(path, ground.teacher, term, "teacher") for path in settings.teacher_points
        ]
    elif wants == "vector":
        student, teacher = [_vector(ground.student, term)], [_vector(ground.teacher, term)]
    else:
        both = _staged(ground.student.stages, ground.teacher.stages)
        if not both:
            raise UsageError(
                f"losses.{term} compares stages, and no two of these networks correspond",
                fix=f"--losses.{term}.student-points and --losses.{term}.teacher-points",
            )
        student = _of(wants, [pair[0] for pair in both])
        teacher = _of(wants, [pair[1] for pair in both])
    return tuple(LayerPair(s, t) for s, t in zip(student, teacher, strict=True))


def _named(path: str, anatomy: NetworkInfo, term: str, role: str) -> FeaturePoint:
    if path not in anatomy.shapes:
        raise UsageError(
            f"losses.{term}: the {role} has no point {path}",
            expected=suggest(path, list(anatomy.shapes)),
        )
    if path in anatomy.overwritten:
        raise UsageError(
            f"losses.{term}: what the {role}'s {path} returns is overwritten further on",
            fix="a later point, such as the input of the activation that follows",
        )
    return FeaturePoint(path, anatomy.shapes[path])


def _vector(anatomy: NetworkInfo, term: str) -> FeaturePoint:
    if anatomy.vector is None:
        raise UsageError(
            f"losses.{term} compares what the classifiers are given; {anatomy.family} ends in no linear layer",
            fix=f"--losses.{term}.student-points and --losses.{term}.teacher-points",
        )
    return anatomy.vector


def _staged(student: Sequence[Stage], teacher: Sequence[Stage]) -> list[tuple[Stage, Stage]]:
    """Stages of equal size are partners; where sizes say nothing, they are paired in proportion."""
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
