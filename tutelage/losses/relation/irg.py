"""Instance relationship graphs: images, the distances between them, and how both change in a network."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from tutelage.config.losses.relation import IRGConfig
from tutelage.errors import InputError
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import check_logits
from tutelage.losses.shapes import as_map
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

EPSILON = 1e-6
"""Squared distances are divided by the largest of them, or by this where all are smaller."""


@in_full_precision
def irg_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    vertices: float = 0.1,
    edges: float = 5.0,
    transformation: float = 5.0,
) -> Tensor:
    """Compute the differences between the instance relationship graphs of two networks.

        loss = vertices V + edges E + transformation T

        V = (1 / (B C)) sum_ik (z_ik^s - z_ik^t)^2                                 the logits
        E = (1 / L) sum_l (1 / B^2) sum_ij (A_l^s - A_l^t)_ij^2                    the L points
        T = (1 / (L - 1)) sum_l [(1 / B) sum_i (m_l^s - m_l^t)_i^2
                                 + (1 / B^2) sum_ij (D_l^s - D_l^t)_ij^2]          from point l to l + 1

        A_l[i, j] = |f_l(i) - f_l(j)|^2 / max            edges, over all pairs of images
        m_l[i] = |P f_l(i) - P f_{l+1}(i)|^2 / max       how far a vertex moves, over all images
        D_l = A_{l+1} - A_l                              how the edges change

    P takes means of a map's channels, rows and columns down to the fewest that the two points have.
    Distances stay squared, so that nothing has an infinite slope at equal images, and each network is
    compared with itself only: their widths need not agree. Each A does not change when all features of a
    point are moved, rotated or multiplied by a number. A batch of one has vertices alone. One point has no
    transformation: T is 0. Computed in fp32 (fp64 for fp64 logits). No gradient goes to the teacher.

    Liu et al. 2019, Knowledge distillation via instance relationship graph, CVPR, section 3. The paper
    leaves open how distances are made comparable between networks, and features between points: division
    by the largest, and means of channels, are those of the common reimplementation, to which the default
    weights belong, except that it takes two points and leaves D out. Vertices are compared as logits, as
    other features do not have the same shape.

    Args:
        student_logits: [B, C] floating point.
        teacher_logits: exactly the same shape.
        student: the features of L points in the order of the network, [B, C_l, H_l, W_l] each.
        teacher: the same of as many points; other channels and sizes are welcome.
        vertices: weight of V.
        edges: weight of E.
        transformation: weight of T.

    Returns:
        A scalar.

    Raises:
        InputError: the shapes do not fit.
    """
    check_logits(student_logits, teacher_logits)
    _check_maps(student, teacher, batch=len(student_logits))
    with torch.no_grad():
        their_edges, their_moves = [_edges(f) for f in teacher], _moves(teacher)
    my_edges, my_moves = [_edges(f) for f in student], _moves(student)
    loss = vertices * _distance(student_logits, teacher_logits.detach())
    loss = loss + edges * _mean_distance(my_edges, their_edges)
    if len(student) > 1:
        moved = _mean_distance(my_moves, their_moves)
        changed = _mean_distance(_changes(my_edges), _changes(their_edges))
        loss = loss + transformation * (moved + changed)
    return loss


def _edges(features: Tensor) -> Tensor:
    """Compute squared distances [B, B] between the images, divided by the largest.

    Features are taken from the first image's, which changes no distance: what is then multiplied is no larger
    than the distances themselves, so that their difference is precise, and exactly 0 for equal ones.
    """
    flat = features.flatten(1)
    flat = flat - flat[:1]
    products = flat @ flat.T
    square = products.diagonal()
    return _scaled((square[:, None] + square[None, :] - 2 * products).clamp(min=0))


def _moves(features: Sequence[Tensor]) -> list[Tensor]:
    """Return how far each image moves [B] from each point to the next."""
    return [_move(a, b) for a, b in pairwise(features)]


def _move(before: Tensor, after: Tensor) -> Tensor:
    c, h, w = (min(a, b) for a, b in zip(before.shape[1:], after.shape[1:], strict=True))
    a, b = (adaptive_avg_pool3d(f[:, None], (c, h, w)) for f in (before, after))
    return _scaled((a - b).square().flatten(1).sum(1))


def _changes(edges: Sequence[Tensor]) -> list[Tensor]:
    return [after - before for before, after in pairwise(edges)]


def _scaled(squares: Tensor) -> Tensor:
    return squares / squares.max().clamp(min=EPSILON)


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher.to(student)).square().mean()


def _mean_distance(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the mean over points of mean squared differences."""
    found = [_distance(mine, theirs) for mine, theirs in zip(student, teacher, strict=True)]
    return torch.stack(found).mean()


def _check_maps(student: Sequence[Tensor], teacher: Sequence[Tensor], *, batch: int) -> None:
    """Require the same number of points of both, at least one, all of them maps of the same images."""
    maps = all(f.ndim == 4 and len(f) == batch for f in (*student, *teacher))
    if not maps or not student or len(student) != len(teacher):
        raise InputError(
            "irg: the features of student and teacher do not fit together",
            found=f"student {[list(f.shape) for f in student]}, teacher {[list(f.shape) for f in teacher]}",
            expected=f"maps [{batch}, C, H, W] of as many points of both",
        )


class IRGTerm(FeatureTerm):
    """`irg_loss` of the logits and the output of each stage."""

    name = "irg"
    settings: IRGConfig = IRGConfig()
    across_batch = True

    def __init__(self, pairs: Sequence[LayerPair], settings: IRGConfig | None = None) -> None:
        super().__init__(pairs, settings)
        self.needs = self.needs._replace(teacher_logits=True)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return `irg_loss` over all points.

        Raises:
            InputError: features that are neither maps, tokens of a square, nor vectors.
            UsageError: the teacher provides no logits.
        """
        logits, both = self.teacher_logits(teacher), self.features(student, teacher)
        return irg_loss(
            student.logits,
            logits,
            [_as_map(mine) for mine, _ in both],
            [_as_map(theirs) for _, theirs in both],
            vertices=self.settings.vertices,
            edges=self.settings.edges,
            transformation=self.settings.transformation,
        )


def _as_map(features: Tensor) -> Tensor:
    """Return features as a map; a vector is a map of one position."""
    return features[:, :, None, None] if features.ndim == 2 else as_map(features, term="irg")
