"""Features in a common shape: maps [B, C, H, W], whether they came as maps or as tokens [B, N, C]."""

from math import isqrt

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tutelage.errors import InputError
from tutelage.types import FeaturePoint

_MOST_EXTRA = 5
"""Tokens that belong to no place: a class token, a distillation token, registers."""


def as_map(features: Tensor, *, term: str) -> Tensor:
    """Features as a map: [B, C, H, W] as it is; tokens [B, N, C] without their extra ones as [B, C, S, S].

    Raises:
        InputError: neither, or tokens that form no square.
    """
    if features.ndim == 4:
        return features
    if features.ndim == 3:
        side = isqrt(features.shape[1])
        if 0 <= features.shape[1] - side * side <= _MOST_EXTRA:
            places = features[:, features.shape[1] - side * side :]
            return places.transpose(1, 2).reshape(len(features), -1, side, side)
    raise InputError(
        f"{term} compares maps, and these features are none",
        found=list(features.shape),
        expected="[B, C, H, W], or tokens [B, N, C] that form a square",
        fix=f"--losses.{term}.student-points and --losses.{term}.teacher-points",
    )


def as_vector(features: Tensor) -> Tensor:
    """One vector an image: the mean over positions of a map or of tokens; [B, D] as it is."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps [B, C, H, W], each pooled (by means) to the smaller height and the smaller width."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return (
        student if student.shape[2:] == size else adaptive_avg_pool2d(student, size),
        teacher if teacher.shape[2:] == size else adaptive_avg_pool2d(teacher, size),
    )


def channels(point: FeaturePoint) -> int:
    """Channels of a map [C, H, W], tokens [N, C] or a vector [D]."""
    return point.shape[0] if len(point.shape) == 3 else point.shape[-1]


def check_same(student: Tensor, teacher: Tensor, *, term: str, expected: str) -> None:
    """Nothing is broadcast: both features have exactly the same shape.

    Raises:
        InputError: they differ; both shapes are printed.
    """
    if student.shape != teacher.shape:
        raise InputError(
            f"{term}: the features of student and teacher differ in shape",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected=expected,
        )
