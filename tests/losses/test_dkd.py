"""Decoupled distillation against plain loops, its identity with KD, its invariances and its limits."""

import functools
import math

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from support.losses.checks import gradient, numbers
from support.losses.logit_tester import TEMPERATURES, LogitLossTester, softmax
from tutelage.config.losses.response import DKDConfig
from tutelage.losses.response.dkd import DKDTerm, dkd_loss
from tutelage.losses.response.kd import kd_loss


def divergence(p: list[float], q: list[float]) -> float:
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def slow_dkd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    target: float,
    rest: float,
) -> float:
    """The formula of the docstring, row by row; the probabilities of ordinary logits do not vanish."""
    total, count = 0.0, 0
    for mine, theirs, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if y == -1:
            continue
        q = softmax([value / temperature for value in mine])
        p = softmax([value / temperature for value in theirs])
        tckd = divergence([p[y], sum(p) - p[y]], [q[y], sum(q) - q[y]])
        others = [k for k in range(len(p)) if k != y]
        p_rest, q_rest = sum(p[k] for k in others), sum(q[k] for k in others)
        nckd = divergence([p[k] / p_rest for k in others], [q[k] / q_rest for k in others])
        total, count = total + target * tckd + rest * nckd, count + 1
    return temperature**2 * total / max(1, count)


class TestDKD(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(dkd_loss)
    slow = staticmethod(slow_dkd)
    term, config = DKDTerm, DKDConfig
    labelled = across_batch = True
    drawn = {
        "temperature": st.sampled_from([1.0, 4.0, 100.0]),
        "target": st.sampled_from([0.0, 1.0, 2.5]),
        "rest": st.sampled_from([0.0, 0.5, 8.0]),
    }
    fewest = (1, 2)
    extreme_options = tuple({"temperature": t} for t in (0.05, 1.0, 4.0, 100.0))
    close = 1e-8
    defaults = {"temperature": 4.0, "target": 1.0, "rest": 8.0}
    settings = {"temperature": 2.0, "target": 0.5, "rest": 3.0}


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_identity_with_kd(temperature: float) -> None:
    """KD is target = 1 and rest = 1 - p_y, image by image."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    p = (teacher / temperature).softmax(1)
    for i, y in enumerate(labels.tolist()):
        mine, theirs = student[i : i + 1], teacher[i : i + 1]
        found = dkd_loss(
            mine,
            theirs,
            labels[i : i + 1],
            temperature=temperature,
            rest=1 - p[i, y].item(),
        )
        expected = kd_loss(mine, theirs, temperature=temperature)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_gradient_closed_form() -> None:
    """T / n times target (q_y - p_y) (1, -q') + rest (0, q' - p')."""
    student, teacher = numbers(1, 4), numbers(1, 4, seed=1)
    loss = functools.partial(
        dkd_loss, labels=torch.tensor([0]), temperature=2.0, target=3.0, rest=5.0
    )
    q, p = (student / 2).softmax(1), (teacher / 2).softmax(1)
    q_rest, p_rest = (student[:, 1:] / 2).softmax(1), (teacher[:, 1:] / 2).softmax(1)
    pull = q[:, :1] - p[:, :1]
    expected = 3 * torch.cat((pull, -pull * q_rest), 1)
    expected += 5 * torch.cat((torch.zeros_like(pull), q_rest - p_rest), 1)
    torch.testing.assert_close(gradient(loss, student, teacher), 2 * expected)


def test_teacher_that_is_sure() -> None:
    """Where the target takes all mass, the other classes still teach: KD's share of them is 0."""
    others = torch.tensor([[0.0, 1.0, 2.0]])
    teacher = torch.cat((torch.tensor([[1e4]]), others), 1)
    student = torch.cat((torch.tensor([[1e4]]), others.flip(1)), 1)
    labels = torch.tensor([0])
    p, q = softmax(others[0].tolist()), softmax(others.flip(1)[0].tolist())
    found = dkd_loss(student, teacher, labels, temperature=1, rest=1)
    assert found.item() == pytest.approx(divergence(p, q), rel=1e-5)
    assert kd_loss(student, teacher, temperature=1).item() == 0
    found = gradient(functools.partial(dkd_loss, labels=labels), student, teacher)
    assert found[0, 1:].abs().max() > 0.1


def test_two_classes() -> None:
    """With two classes nothing is left to divide: the first divergence alone, which is KD."""
    student, teacher = numbers(4, 2), numbers(4, 2, seed=1)
    found = dkd_loss(student, teacher, torch.tensor([0, 1, 1, 0]))
    torch.testing.assert_close(found, kd_loss(student, teacher))
