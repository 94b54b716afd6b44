"""Cross-entropy with the labels, with label smoothing."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.term import BuildContext, Needs, Term
from tutelage.types import Batch, MixedLabels, ModelOutput, Progress, TeacherOutput

UNLABELLED = -1


def label_loss(
    logits: Tensor, labels: Tensor, *, smoothing: float = 0.0, mixed: MixedLabels | None = None
) -> Tensor:
    """Compute the cross-entropy between the labels and the softmax of the logits.

        loss = -(1 / n) sum_i sum_k t_ik log p_ik,   t_ik = (1 - s) [k = y_i] + s / C

    s is the smoothing, and the sum runs over the n labelled rows: rows with label -1 are left out,
    and a batch without labels gives exactly 0 with a gradient of exactly 0. Computed in fp32 (fp64
    for fp64 logits). A view made of two images has a second label y'_i and a share w_i:

        t_ik = (1 - s) (w_i [k = y_i] + (1 - w_i) [k = y'_i]) + s / C

    and is left out where either label is unknown.

    Smoothing: Szegedy et al. 2015, arXiv:1512.00567, section 7. Two labels: Zhang et al. 2018,
    arXiv:1710.09412, and Yun et al. 2019, arXiv:1905.04899. The difference to
    `torch.nn.functional.cross_entropy` is the batch without labels, which gives NaN there.

    Args:
        logits: [B, C] floating point.
        labels: [B] int64 in 0 .. C - 1, or -1 where unknown.
        smoothing: share of the target spread evenly over all classes, in [0, 1).
        mixed: the second labels [B], like the first, and the shares [B] of the first in [0, 1].

    Returns:
        A scalar, the mean over the labelled rows, in nats.

    Raises:
        InputError: the shapes do not fit, or the labels are not int64.
        UsageError: smoothing out of range.
    """
    _check_fit(logits, labels, "labels")
    _check_smoothing(smoothing)
    rows, known = _rows(logits, labels, smoothing), labels != UNLABELLED
    if mixed is not None:
        _check_fit(logits, mixed.labels, "the partners' labels")
        _check_fit(logits, mixed.share, "shares of a floating-point type", floating=True)
        share = mixed.share.to(rows.dtype)
        known = known & (mixed.labels != UNLABELLED)
        # Rows are finite, so a factor of 0 removes one from the sum and from the gradient.
        rows = known * (share * rows + (1 - share) * _rows(logits, mixed.labels, smoothing))
    return rows.sum() / known.sum().clamp(min=1)


def _rows(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the loss of each row [B], 0 where the label is unknown."""
    return F.cross_entropy(
        logits.to(torch.promote_types(logits.dtype, torch.float32)),
        labels,
        ignore_index=UNLABELLED,
        reduction="none",
        label_smoothing=smoothing,
    )


def _check_fit(logits: Tensor, rows: Tensor, what: str, *, floating: bool = False) -> None:
    kind = rows.is_floating_point() if floating else rows.dtype == torch.int64
    if logits.ndim != 2 or rows.shape != logits.shape[:1] or not kind:
        raise InputError(
            f"logits and {what} do not fit together",
            found=f"logits {list(logits.shape)}, {what} {list(rows.shape)} {rows.dtype}",
            expected=f"logits [B, C] and {what} [B]" + ("" if floating else " int64"),
        )


class LabelTerm(Term):
    """`label_loss` as a term."""

    name = "label"
    needs = Needs(labels=True)

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        _check_smoothing(smoothing)
        self.smoothing = smoothing

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term; smoothing is a setting of the training, since control runs have it too."""
        return cls(context.label_smoothing)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the cross-entropy of the student's logits [B, C] with the batch's labels [B]."""
        return label_loss(student.logits, batch.labels, smoothing=self.smoothing, mixed=batch.mixed)


def _check_smoothing(smoothing: float) -> None:
    if not 0.0 <= smoothing < 1.0:
        raise UsageError(
            "label smoothing is out of range",
            found=smoothing,
            expected="at least 0 and below 1",
            fix="0 for none; 0.1 is common",
        )
