"""Maps compared position by position: the same positions in both, and vectors of length 1."""

from torch import Tensor

from tutelage.errors import InputError
from tutelage.losses.shapes import as_map, same_size


def same_places(student: Tensor, teacher: Tensor, *, term: str) -> tuple[Tensor, Tensor]:
    """Return two features as maps [B, C, H, W] of one size; each keeps its own channels.

    Raises:
        InputError: features that are no maps.
    """
    return same_size(as_map(student, term=term), as_map(teacher, term=term))


def check_places(student: Tensor, teacher: Tensor, *, term: str) -> None:
    """Require maps [B, C, H, W] of the same images and positions; only the channels may differ.

    Raises:
        InputError: they are something else; both shapes are printed.
    """
    same = student.shape[:1] + student.shape[2:] == teacher.shape[:1] + teacher.shape[2:]
    if not (student.ndim == teacher.ndim == 4 and same):
        raise InputError(
            f"{term}: the features of student and teacher differ in images or positions",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected="both [B, C, H, W], with the same B, H and W",
        )


def unit_vectors(vectors: Tensor, *, shortest: float) -> Tensor:
    """Divide vectors [..., N] by their length; one shorter than `shortest` is divided by `shortest`.

    So a vector of zeros stays zero, and its gradient is finite.
    """
    # The square is clamped, not the root, whose slope is infinite at 0.
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors / squared.clamp(min=shortest**2).sqrt()
