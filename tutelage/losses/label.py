"""Learning from the labels: cross-entropy with label smoothing."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.errors import InputError, UsageError
from tutelage.losses.term import Needs, Term
from tutelage.nouns import Batch, Output, Signal

UNLABELLED = -1


def label_loss(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy between the labels and the softmax of the logits.

        loss = -(1 / n) sum_i sum_k t_ik log p_ik,   t_ik = (1 - s) [k = y_i] + s / C

    s is the smoothing, and the sum runs over the n labelled rows: rows with label -1 are left out,
    and a batch without labels gives exactly 0 with a gradient of exactly 0. Computed in fp32 (fp64
    for fp64 logits).

    Smoothing: Szegedy et al. 2015, arXiv:1512.00567, section 7. The difference to
    `torch.nn.functional.cross_entropy` is the batch without labels, which gives NaN there.

    Args:
        logits: [B, C] floating point.
        labels: [B] int64 in 0 .. C - 1, or -1 where unknown.
        smoothing: share of the target spread evenly over all classes, in [0, 1).

    Returns:
        A scalar, the mean over the labelled rows, in nats.

    Raises:
        InputError: the shapes do not fit, or the labels are not int64.
        UsageError: smoothing out of range.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.dtype != torch.int64:
        raise InputError(
            "logits and labels do not fit together",
            found=f"logits {list(logits.shape)}, labels {list(labels.shape)} {labels.dtype}",
            expected="logits [B, C] and labels [B] int64",
        )
    _check_smoothing(smoothing)
    total = F.cross_entropy(
        logits.to(torch.promote_types(logits.dtype, torch.float32)),
        labels,
        ignore_index=UNLABELLED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    return total / (labels != UNLABELLED).sum().clamp(min=1)


class LabelTerm(Term):
    """`label_loss` as a term."""

    needs = Needs(labels=True)

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        _check_smoothing(smoothing)
        self.smoothing = smoothing

    def forward(self, student: Output, signal: Signal, batch: Batch) -> Tensor:  # noqa: ARG002
        """Cross-entropy of the student's logits [B, C] with the batch's labels [B]."""
        return label_loss(student.logits, batch.labels, smoothing=self.smoothing)


def _check_smoothing(smoothing: float) -> None:
    if not 0.0 <= smoothing < 1.0:
        raise UsageError(
            "label smoothing is out of range",
            found=smoothing,
            expected="at least 0 and below 1",
            fix="0 for none, 0.1 as usual",
        )
