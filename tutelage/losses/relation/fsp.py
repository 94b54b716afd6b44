"""Flow of solution procedure: how a section of a network maps its input to its output."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_map, channels
from tutelage.types import Batch, FeaturePoint, ModelOutput, Progress, TeacherOutput

_POINTS = "--losses.fsp.student-points and --losses.fsp.teacher-points"


@in_full_precision
def fsp_loss(
    student_entry: Tensor, student_end: Tensor, teacher_entry: Tensor, teacher_end: Tensor
) -> Tensor:
    """Compute the squared difference of two networks' Gram matrices between entry and end of one section.

        loss = (1 / (B C D)) sum_b sum_c sum_d (G(student)_bcd - G(teacher)_bcd)^2
        G_bcd = (1 / (h w)) sum_{y, x} entry_bcyx end_bdyx

    Where entry and end differ in size, each is max pooled to the smaller height and the smaller width h, w.
    The two networks need the same channels C and D, but not the same sizes. Computed in fp32 (fp64 for fp64
    maps). No gradient goes to the teacher.

    Yim et al. 2017, A gift from knowledge distillation, CVPR, eq. 1 and 2. Where we differ: the paper
    sums over the entries of a matrix (and has a weight for each section); the mean over them is what later
    work uses, with a weight of 50. The paper max pools with a fixed window; an adaptive one does the same for
    sizes that are multiples of each other, and works for others. It trains in two stages, the first with this
    loss alone: see the term's schedule.

    Args:
        student_entry: [B, C, H, W], what the section is given.
        student_end: [B, D, H', W'], what it returns.
        teacher_entry: [B, C, ...], of the same images.
        teacher_end: [B, D, ...].

    Returns:
        A scalar.

    Raises:
        InputError: no maps, or other images or channels.
    """
    mine, theirs = (student_entry, student_end), (teacher_entry, teacher_end)
    maps = all(x.ndim == 4 and len(x) == len(student_entry) for x in (*mine, *theirs))
    if not maps or any(s.shape[1] != t.shape[1] for s, t in zip(mine, theirs, strict=True)):
        raise InputError(
            "fsp: the maps of student and teacher do not fit",
            found=", ".join(
                f"{name} {list(entry.shape)} to {list(end.shape)}"
                for name, (entry, end) in (("student", mine), ("teacher", theirs))
            ),
            expected="[B, C, H, W] to [B, D, H, W], with the same B, C and D in both",
        )
    return (_flow(*mine) - _flow(*(x.detach() for x in theirs))).square().mean()


def _flow(entry: Tensor, end: Tensor) -> Tensor:
    """Compute the Gram matrix [B, C, D] of maps [B, C, ...] and [B, D, ...], a mean over positions."""
    size = (min(entry.shape[2], end.shape[2]), min(entry.shape[3], end.shape[3]))
    first, second = (
        x if x.shape[2:] == size else adaptive_max_pool2d(x, size) for x in (entry, end)
    )
    return first.flatten(2) @ second.flatten(2).mT / (size[0] * size[1])


class FSPTerm(FeatureTerm):
    """`fsp_loss` of each stage, which is a section; tokens that form a square are maps."""

    name = "fsp"
    wants = "sections"

    def __init__(
        self, pairs: Sequence[LayerPair], settings: WeightedLossConfig | None = None
    ) -> None:
        super().__init__(pairs, settings)
        if len(pairs) % 2:
            raise UsageError(
                "losses.fsp takes points in twos: entry and end of each section",
                found=f"{len(pairs)} points of each network",
                expected="an even number",
                fix=_POINTS,
            )
        for pair in pairs:
            _check(*pair)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the sections.

        Raises:
            InputError: tokens that form no square.
        """
        maps = [
            (as_map(mine, term=self.name), as_map(theirs, term=self.name))
            for mine, theirs in self.features(student, teacher)
        ]
        losses = [
            fsp_loss(entry[0], end[0], entry[1], end[1])
            for entry, end in zip(maps[::2], maps[1::2], strict=True)
        ]
        return torch.stack(losses).sum()


def _check(student: FeaturePoint, teacher: FeaturePoint) -> None:
    vectors = [point.path for point in (student, teacher) if len(point.shape) < 2]
    if vectors:
        raise UsageError(
            "losses.fsp compares maps, and a point gives a vector",
            found=", ".join(vectors),
            fix=_POINTS,
        )
    if channels(student) != channels(teacher):
        raise UsageError(
            "losses.fsp needs the same number of channels in student and teacher",
            where=f"{student.path} and {teacher.path}",
            found=f"{channels(student)} in the student, {channels(teacher)} in the teacher",
            fix=f"{_POINTS} of equal channels, or --losses.sp.weight 3000 for networks of any width",
        )
