"""Hard distillation against plain loops and a closed form, ties, invariances, refusals, its term."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from support.losses.checks import gradient, numbers
from support.losses.logit_tester import LogitLossTester
from tutelage.config.losses.response import HardLabelConfig
from tutelage.losses.cross_entropy import label_loss
from tutelage.losses.response.hard_label import HardLabelTerm, hard_label_loss


def slow_hard_label(student: Tensor, teacher: Tensor) -> float:
    """The mean of -log q at the teacher's first largest logit, number by number."""
    total = 0.0
    for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        total += math.log(math.fsum(math.exp(s) for s in mine)) - mine[theirs.index(max(theirs))]
    return total / len(student)


class TestHardLabel(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(hard_label_loss)
    slow = staticmethod(slow_hard_label)
    term, config = HardLabelTerm, HardLabelConfig
    close = 1e-12
    lowest = 0.0
    equality = None  # a student is asked to be sure
    extreme_options = ({},)
    wrong = ()

    def made(self, batch: int = 5, classes: int = 4, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Round the teacher, so that ties are common."""
        student, teacher = super().made(batch, classes, seed=seed)
        return student, teacher.round() if batch != 5 else teacher


def test_gradient_closed_form() -> None:
    """It is (q - one-hot) / B."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    expected = (student.softmax(1) - F.one_hot(teacher.argmax(1), 5)) / 3
    torch.testing.assert_close(gradient(hard_label_loss, student, teacher), expected)


def test_ties_go_to_the_first_class() -> None:
    """Of equal logits the first counts, in every precision, whether two tie or all."""
    student = torch.tensor([[0.0, 1.0, 2.0, 3.0]] * 2)
    teacher = torch.tensor([[1.0, 5.0, 5.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    for precision in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        expected = F.cross_entropy(student, torch.tensor([1, 0]))
        torch.testing.assert_close(hard_label_loss(student, teacher.to(precision)), expected)


def test_relation_to_labels() -> None:
    """It is the loss of the labels, had the teacher written them; only its favourite matters."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    expected = label_loss(student, teacher.argmax(1))
    for same in (teacher, 3 * teacher + 2, teacher.exp(), teacher.softmax(1)):
        torch.testing.assert_close(hard_label_loss(student, same), expected)


def test_limits() -> None:
    """Log C for an undecided student; 0 for one that is as sure as a label."""
    teacher = numbers(4, 5)
    assert hard_label_loss(torch.zeros(4, 5), teacher).item() == pytest.approx(math.log(5))
    assert hard_label_loss(1e4 * teacher, teacher).item() == 0
