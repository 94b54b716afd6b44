"""Logits taken apart: what a network says of the label's class, and what of all the others."""

from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.errors import InputError
from tutelage.losses.cross_entropy import UNLABELLED


class TargetSplit(NamedTuple):
    """Logits of the label's class [B] and of the other classes [B, C - 1], in their order."""

    target: Tensor
    others: Tensor

    @property
    def log_odds(self) -> Tensor:
        """Log p_y - log (1 - p_y) of the softmax [B]: finite, however much mass the target takes."""
        return self.target - self.others.logsumexp(1)


def split_target(
    student: Tensor, teacher: Tensor, labels: Tensor
) -> tuple[TargetSplit, TargetSplit]:
    """Both networks' logits [B, C] (C above 1) taken apart by labels [B]; the teacher's carry no gradient.

    The other classes are picked by their number, so that nothing has to be hidden behind a large constant.
    A row with label -1 is taken apart at class 0; `labelled_mean` leaves it out.
    """
    target = torch.where(labels == UNLABELLED, 0, labels)[:, None]
    numbers = torch.arange(student.shape[1] - 1, device=labels.device)
    others = numbers + (numbers >= target)
    mine, theirs = (
        TargetSplit(logits.gather(1, target).squeeze(1), logits.gather(1, others))
        for logits in (student, teacher.detach().to(student))
    )
    return mine, theirs


def labelled_mean(rows: Tensor, labels: Tensor) -> Tensor:
    """The mean of the rows [B] whose label is known; exactly 0, with a gradient of 0, if none is."""
    known = labels != UNLABELLED
    # Rows are finite, so that one that does not count leaves by a factor of 0, its gradient too.
    return (rows * known).sum() / known.sum().clamp(min=1)


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Labels are int64 [B] for logits [B, C].

    Raises:
        InputError: they are not; both shapes are printed.
    """
    if labels.shape != logits.shape[:1] or labels.dtype != torch.int64:
        raise InputError(
            "logits and labels do not fit together",
            found=f"logits {list(logits.shape)}, labels {list(labels.shape)} {labels.dtype}",
            expected="logits [B, C] and labels [B] int64",
        )
