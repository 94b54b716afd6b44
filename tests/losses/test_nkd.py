"""Normalised distillation against plain loops, its gradient, its invariances and its limits."""

import functools
import math

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from support.losses.checks import gradient, numbers
from support.losses.logit_tester import LABELS, LogitLossTester, softmax
from tutelage.config.losses.response import NKDConfig
from tutelage.losses.response.dkd import dkd_loss
from tutelage.losses.response.nkd import NKDTerm, nkd_loss


def slow_nkd(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, rest: float
) -> float:
    """The formula of the docstring, row by row; the probabilities of ordinary logits do not vanish."""
    total, count = 0.0, 0
    for mine, theirs, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if y == -1:
            continue
        of_target = -softmax(theirs)[y] * math.log(softmax(mine)[y])
        q = softmax([value / temperature for k, value in enumerate(mine) if k != y])
        p = softmax([value / temperature for k, value in enumerate(theirs) if k != y])
        of_others = -math.fsum(a * math.log(b) for a, b in zip(p, q, strict=True))
        total, count = total + of_target + rest * temperature**2 * of_others, count + 1
    return total / max(1, count)


class TestNKD(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(nkd_loss)
    slow = staticmethod(slow_nkd)
    term, config = NKDTerm, NKDConfig
    labelled = across_batch = True
    drawn = {
        "temperature": st.sampled_from([1.0, 4.0, 100.0]),
        "rest": st.sampled_from([0.0, 0.5, 1.5]),
    }
    fewest = (1, 2)
    extreme_options = tuple({"temperature": t} for t in (0.05, 1.0, 4.0, 100.0))
    close = 1e-10
    defaults = {"temperature": 1.0, "rest": 1.5}
    settings = {"temperature": 2.0, "rest": 3.0}
    options = ({}, {"temperature": 2.0})
    equality = None  # the label is learned all the same


def test_sure_teacher_is_cross_entropy() -> None:
    """The first part is the label's cross-entropy, weighted by p_y: all of it for a teacher that is sure."""
    student, labels = numbers(4, 3), torch.tensor([0, 1, 2, 1])
    sure = 1e3 * F.one_hot(labels, 3).double()
    found = nkd_loss(student, sure, labels, rest=0)
    torch.testing.assert_close(found, F.cross_entropy(student, labels))
    undecided = nkd_loss(student, torch.zeros_like(sure), labels, rest=0)
    torch.testing.assert_close(undecided, found / 3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_others_are_those_of_dkd(temperature: float) -> None:
    """The other classes pull as in DKD: a cross-entropy is the divergence and a constant."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    alone = functools.partial(nkd_loss, labels=LABELS, temperature=temperature, rest=0)
    whole = functools.partial(nkd_loss, labels=LABELS, temperature=temperature, rest=2)
    other = functools.partial(dkd_loss, labels=LABELS, temperature=temperature, target=0, rest=2)
    found = gradient(whole, student, teacher) - gradient(alone, student, teacher)
    torch.testing.assert_close(found, gradient(other, student, teacher))


def test_gradient_at_equality() -> None:
    """Equal networks: the others rest, and the target is still pulled up, by p_y (q - onehot) / n."""
    student, labels = numbers(4, 3), torch.tensor([0, 1, 2, 1])
    found = gradient(functools.partial(nkd_loss, labels=labels), student, student)
    q = student.softmax(1)
    expected = q.gather(1, labels[:, None]) * (q - F.one_hot(labels, 3)) / 4
    torch.testing.assert_close(found, expected)
