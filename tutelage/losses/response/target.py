"""Split logits into that of the label's class and those of all other classes."""

from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.errors import InputError
from tutelage.losses.cross_entropy import UNLABELLED


class TargetSplit(NamedTuple):
    """Logits of a batch, split by label."""

    target: Tensor
    """[B], of the label's class."""
    others: Tensor
    """[B, C - 1], of the other classes, in their order."""

    @property
    def log_odds(self) -> Tensor:
        """Log p_y - log (1 - p_y) of the softmax [B]: finite, however much mass the target takes."""
        return self.target - self.others.logsumexp(1)


def split_target(
    student: Tensor, teacher: Tensor, labels: Tensor
) -> tuple[TargetSplit, TargetSplit]:
    """Split the logits [B, C] (C above 1) of both networks by labels [B]; the teacher's carry no gradient.

    The other classes are selected by index, so that nothing has to be hidden behind a large constant. A row
    with label -1 is split at class 0; `labelled_mean` leaves it out.
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
    """Return the mean of the rows [B] whose label is known; exactly 0, with gradient 0, if there are none."""
    known = labels != UNLABELLED
    # Rows are finite, so a factor of 0 removes one from the sum and from the gradient.
    return (rows * known).sum() / known.sum().clamp(min=1)


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Require labels int64 [B] for logits [B, C].

    Raises:
        InputError: they are something else; both shapes are printed.
    """
    if labels.shape != logits.shape[:1] or labels.dtype != torch.int64:
        raise InputError(
            "logits and labels do not fit together",
            found=f"logits {list(logits.shape)}, labels {list(labels.shape)} {labels.dtype}",
            expected="logits [B, C] and labels [B] int64",
        )
