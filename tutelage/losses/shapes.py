"""Features in a common shape: maps [B, C, H, W], whether they came as maps or as tokens [B, N, C]."""

from math import isqrt

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tutelage.errors import InputError
from tutelage.types import FeaturePoint

_MOST_EXTRA = 5
"""Most tokens that belong to no position: a class token, a distillation token, registers."""


def as_map(features: Tensor, *, term: str) -> Tensor:
    """Return features as maps: [B, C, H, W] unchanged; tokens [B, N, C], less extra ones, as [B, C, S, S].

    Raises:
        InputError: features of another shape, or tokens that form no square.
    """
    if features.ndim == 4:
        return features
    if features.ndim == 3:
        side = isqrt(features.shape[1])
        if 0 <= features.shape[1] - side * side <= _MOST_EXTRA:
            places = features[:, features.shape[1] - side * side :]
            return places.transpose(1, 2).reshape(len(features), -1, side, side)
    raise InputError(
        f"{term} compares maps, and these features are not maps",
        found=list(features.shape),
        expected="[B, C, H, W], or tokens [B, N, C] that form a square",
        fix=f"--losses.{term}.student-points and --losses.{term}.teacher-points",
    )


def as_vector(features: Tensor) -> Tensor:
    """Return one vector per image: the mean over positions of maps or tokens; [B, D] unchanged."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Pool two maps [B, C, H, W] (by means) to the smaller height and the smaller width of both."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return (
        student if student.shape[2:] == size else adaptive_avg_pool2d(student, size),
        teacher if teacher.shape[2:] == size else adaptive_avg_pool2d(teacher, size),
    )


def channels(point: FeaturePoint) -> int:
    """Return the channels of a map [C, H, W], tokens [N, C] or a vector [D]."""
    return point.shape[0] if len(point.shape) == 3 else point.shape[-1]
