"""Checks that several losses share."""

import math

from torch import Tensor, nn

from tutelage.errors import InputError, UsageError


def check_positive(value: float, what: str, *, fix: str) -> None:
    """Require a finite number above 0.

    Args:
        value: the number.
        what: its name, for the message.
        fix: usual values, for the message.

    Raises:
        UsageError: it is something else.
    """
    if not (value > 0.0 and math.isfinite(value)):
        raise UsageError(
            f"the {what} is out of range", found=value, expected="a finite number above 0", fix=fix
        )


def check_temperature(temperature: float) -> None:
    """Require a temperature that is finite and above 0.

    Raises:
        UsageError: it is something else.
    """
    usual = "4 as usual; 1 leaves the probabilities as they are"
    check_positive(temperature, "temperature", fix=usual)


def check_same(student: Tensor, teacher: Tensor, *, term: str, expected: str) -> None:
    """Require features of exactly the same shape: nothing is broadcast.

    Raises:
        InputError: they differ; both shapes are printed.
    """
    if student.shape != teacher.shape:
        raise InputError(
            f"{term}: the features of student and teacher differ in shape",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected=expected,
        )


def check_batchnorm(module: nn.Module, *maps: Tensor, term: str) -> None:
    """Require maps [B, C, H, W] that BatchNorm can normalise: in training, two numbers a channel or more.

    Args:
        module: whose mode (training or evaluation) counts.
        maps: what its BatchNorm layers are given.
        term: for the message.

    Raises:
        InputError: one number a channel.
    """
    for features in maps:
        if module.training and features[:, 0].numel() == 1:
            raise InputError(
                f"{term}: BatchNorm cannot normalise one number a channel",
                found=f"features {list(features.shape)}",
                expected="more images in the batch, or a point with more places",
                fix="a larger --batch-size",
            )
