"""Transformed teacher matching against plain loops, the paper's identities, limits, refusals, its term."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch import Tensor

from tutelage.config.losses.response import TTMConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.response.ttm import TTMTerm, ttm_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, ModelOutput, NetworkInfo, TeacherOutput

NOTHING = NetworkInfo("net", (), None, None, {})
GROUND = BuildContext(NOTHING, NOTHING, classes=5, images=9)
TEMPERATURES = [0.05, 0.5, 1.0, 4.0, 20.0, 100.0]


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / math.fsum(powers) for power in powers]


def slow_ttm(student: Tensor, teacher: Tensor, temperature: float, weighted: bool) -> float:
    """The power transform of the paper, number by number: no logits are divided."""
    total = 0.0
    for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q, powers = softmax(mine), [p ** (1 / temperature) for p in softmax(theirs)]
        u = math.fsum(powers)
        row = math.fsum(r / u * math.log(r / u / s) for r, s in zip(powers, q, strict=True) if r)
        total += row * u if weighted else row
    return total / len(student)


@given(
    batch=st.integers(1, 6),
    classes=st.integers(1, 9),
    seed=st.integers(0, 999),
    temperature=st.sampled_from(TEMPERATURES),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_oracle(batch: int, classes: int, seed: int, temperature: float, weighted: bool) -> None:
    """Both forms equal plain loops in float64, and are never negative."""
    student, teacher = numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)
    found = ttm_loss(student, teacher, temperature=temperature, weighted=weighted).item()
    expected = slow_ttm(student, teacher, temperature, weighted)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found >= -1e-14 * classes


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_invariances(temperature: float, weighted: bool) -> None:
    """0 at the softened teacher; a constant on a row and the order of rows and classes do not matter."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    loss = partial(ttm_loss, temperature=temperature, weighted=weighted)
    assert abs(loss(teacher / temperature, teacher).item()) < 1e-15
    expected = loss(student, teacher)
    for change in (lambda z: z.flip(0), lambda z: z.roll(1, 1), lambda z: z.repeat(3, 1)):
        torch.testing.assert_close(loss(change(student), change(teacher)), expected)
    shift = numbers(4, 1, seed=2, scale=50)
    torch.testing.assert_close(loss(student + shift, teacher - shift), expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e4])
def test_finite(spread: float, temperature: float, weighted: bool) -> None:
    """Finite for logits 1e4 apart, equal logits, constant rows and a batch of one."""
    ends = spread * torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    loss = partial(ttm_loss, temperature=temperature, weighted=weighted)
    for teacher in (ends, ends.roll(1, 0)):
        finite_in_any_precision(loss, ends, teacher)
        finite_in_any_precision(loss, ends[:1], teacher[:1])


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 1)), ((4, 10), (1, 10)), ((4, 10), (4, 9)), ((3,), (3,))]
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError) as caught:
        ttm_loss(torch.zeros(student), torch.zeros(teacher))
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature(temperature: float) -> None:
    """A temperature that is not a finite number above 0 is refused, by function and term."""
    with pytest.raises(UsageError, match="temperature"):
        ttm_loss(torch.zeros(1, 2), torch.zeros(1, 2), temperature=temperature)
    with pytest.raises(UsageError, match="temperature"):
        TTMTerm(temperature)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """The settings reach the function; the term needs no label and has nothing to train."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    images = torch.zeros(4, 3, 1, 1, dtype=torch.uint8)
    batch = Batch(images, torch.full((4,), -1), torch.arange(4), 0)
    chosen = TTMConfig(temperature=3.0, weighted=True, standardize=standardize)
    term = TTMTerm.build(chosen, GROUND)
    found = term(ModelOutput(student, {}), TeacherOutput(teacher, {}), batch, START)
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    assert torch.equal(found, ttm_loss(student, teacher, temperature=3.0, weighted=True))
    assert term.needs == Needs(teacher_logits=True)
    assert not term.across_batch
    assert not term.state_dict()
    with pytest.raises(UsageError, match="ttm needs the logits of a teacher"):
        term(ModelOutput(student, {}), NO_TEACHER_OUTPUT, batch, START)
