"""Transformed teacher matching against plain loops, the paper's identities, limits, refusals, its term."""

import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from support.losses.checks import gradcheck, gradient, numbers, spares_the_teacher
from support.losses.logit_tester import TEMPERATURES, LogitLossTester, softmax
from tutelage.config.losses.response import TTMConfig
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.ttm import TTMTerm, ttm_loss


def slow_ttm(student: Tensor, teacher: Tensor, temperature: float, weighted: bool) -> float:
    """The power transform of the paper, number by number: no logits are divided."""
    total = 0.0
    for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q, powers = softmax(mine), [p ** (1 / temperature) for p in softmax(theirs)]
        u = math.fsum(powers)
        row = math.fsum(r / u * math.log(r / u / s) for r, s in zip(powers, q, strict=True) if r)
        total += row * u if weighted else row
    return total / len(student)


class TestTTM(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(ttm_loss)
    slow = staticmethod(slow_ttm)
    term, config = TTMTerm, TTMConfig
    drawn = {"temperature": st.sampled_from(TEMPERATURES), "weighted": st.booleans()}
    lowest = -1e-12
    defaults = {"temperature": 4.0, "weighted": False}
    settings = {"temperature": 3.0, "weighted": True}
    options = tuple(
        {"temperature": temperature, "weighted": weighted}
        for temperature, weighted in itertools.product((0.5, 1.0, 4.0, 20.0), (False, True))
    )
    equality = None  # it is 0 at the softened teacher
    extreme_options = tuple(
        {"temperature": temperature, "weighted": weighted}
        for temperature, weighted in itertools.product(TEMPERATURES, (False, True))
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_softened_teacher(temperature: float, weighted: bool) -> None:
    """0 where the student's logits are the teacher's over T."""
    teacher = numbers(4, 5, seed=1)
    found = ttm_loss(teacher / temperature, teacher, temperature=temperature, weighted=weighted)
    assert abs(found.item()) < 1e-15


def test_defaults() -> None:
    """T is 4 and the weights are off, as in the settings."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    expected = ttm_loss(student, teacher, temperature=4.0, weighted=False)
    assert torch.equal(ttm_loss(student, teacher), expected)
    assert (TTMConfig().temperature, TTMConfig().weighted) == (4.0, False)


@pytest.mark.parametrize("temperature", [1.5, 4.0, 10.0])
def test_kd_and_renyi_entropy(temperature: float) -> None:
    """The paper's identity: T KL(r || q_T) - (T - 1) Renyi(q) + (T - 1) H(r), its order 1 / T."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    r, q = (teacher / temperature).softmax(1), student.softmax(1)
    renyi = (q ** (1 / temperature)).sum(1).log() / (1 - 1 / temperature)
    shannon = -(r * r.log()).sum(1)
    kd = kd_loss(student, teacher, temperature=temperature) / temperature**2
    expected = temperature * kd + (temperature - 1) * (shannon - renyi).mean()
    torch.testing.assert_close(ttm_loss(student, teacher, temperature=temperature), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_first_temperature(weighted: bool) -> None:
    """At T = 1 nothing is transformed, and every weight is 1: it is kd at T = 1."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    found = ttm_loss(student, teacher, temperature=1.0, weighted=weighted)
    torch.testing.assert_close(found, kd_loss(student, teacher, temperature=1.0))


def test_weight_of_a_image() -> None:
    """An undecided teacher counts C^(1 - 1/T) times as much as without weights, a sure one as much."""
    student, undecided = numbers(1, 5), torch.zeros(1, 5, dtype=torch.float64)
    sure = torch.tensor([[2000.0, 0, 0, 0, 0]], dtype=torch.float64)
    for teacher, weight in ((undecided, 5**0.75), (sure, 1.0)):
        plain, weighted = (ttm_loss(student, teacher, weighted=w) for w in (False, True))
        assert (weighted / plain).item() == pytest.approx(weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradient(temperature: float, weighted: bool) -> None:
    """Finite differences agree, and so does the closed form (u / B) (q - r)."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    loss = partial(ttm_loss, temperature=temperature, weighted=weighted)
    assert gradcheck(loss, student, teacher)
    u = (teacher.softmax(1) ** (1 / temperature)).sum(1, keepdim=True) if weighted else 1
    expected = u * (student.softmax(1) - (teacher / temperature).softmax(1)) / 3
    torch.testing.assert_close(gradient(loss, student, teacher), expected)
    spares_the_teacher(loss, student, teacher)
