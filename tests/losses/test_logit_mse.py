"""Logit matching against plain loops and a closed form, its invariances, its refusals, its term."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from support.losses.checks import gradient, numbers
from support.losses.logit_tester import EXACT, LogitLossTester
from tutelage.config.losses.response import LogitMSEConfig
from tutelage.losses.response.logit_mse import LogitMSETerm, logit_mse_loss


def slow_logit_mse(student: Tensor, teacher: Tensor) -> float:
    """Half the squared distance of each image, number by number."""
    rows = zip(student.tolist(), teacher.tolist(), strict=True)
    squares = [(s - t) ** 2 for row in rows for s, t in zip(*row, strict=True)]
    return math.fsum(squares) / 2 / len(student)


class TestLogitMSE(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(logit_mse_loss)
    slow = staticmethod(slow_logit_mse)
    term, config = LogitMSETerm, LogitMSEConfig
    close = 1e-12
    lowest = 0.0
    unchanged = EXACT - {"shift"}
    extreme_options = ({},)
    wrong = ()


def test_gradient_closed_form() -> None:
    """It is (s - t) / B."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    torch.testing.assert_close(gradient(logit_mse_loss, student, teacher), (student - teacher) / 3)


def test_shift_and_scale() -> None:
    """A shift of both does not matter, a shift of one does; a scale of both counts with its square."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    expected = logit_mse_loss(student, teacher)
    torch.testing.assert_close(logit_mse_loss(student + 7, teacher + 7), expected)
    torch.testing.assert_close(logit_mse_loss(3 * student, 3 * teacher), 9 * expected)
    torch.testing.assert_close(logit_mse_loss(student + 2, student), torch.tensor(10.0).double())


def test_relation_to_torch() -> None:
    """It is C / 2 times the mean over all numbers, in fp32, too."""
    student, teacher = numbers(6, 10).float(), numbers(6, 10, seed=1).float()
    expected = F.mse_loss(student, teacher) * 10 / 2
    torch.testing.assert_close(logit_mse_loss(student, teacher), expected)
