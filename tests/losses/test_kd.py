"""Knowledge distillation against plain loops, closed forms, its invariances and its limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tutelage.errors import InputError, UsageError
from tutelage.losses.response.kd import KDTerm, kd_loss
from tutelage.losses.term import Needs
from tutelage.nouns import NO_SIGNAL, Batch, Output, Signal

TEMPERATURES = [0.05, 0.5, 1.0, 4.0, 20.0, 100.0]


def logits(batch: int, classes: int, *, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, classes, generator=generator, dtype=torch.float64)


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    norm = math.log(math.fsum(math.exp(value - top) for value in row))
    return [value - top - norm for value in row]


def slow_kd(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """The formula of the docstring, number by number."""
    total = 0.0
    for student_row, teacher_row in zip(student.tolist(), teacher.tolist(), strict=True):
        log_q = log_softmax([value / temperature for value in student_row])
        log_p = log_softmax([value / temperature for value in teacher_row])
        total += math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True))
    return temperature**2 * total / len(student)


@given(
    batch=st.integers(1, 6),
    classes=st.integers(1, 12),
    seed=st.integers(0, 999),
    temperature=st.sampled_from(TEMPERATURES),
)
@settings(max_examples=60, deadline=None)
def test_oracle(batch: int, classes: int, seed: int, temperature: float) -> None:
    """The loss equals plain loops in float64, and is never negative."""
    student, teacher = logits(batch, classes, seed=seed), logits(batch, classes, seed=seed + 1000)
    found = kd_loss(student, teacher, temperature=temperature)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(slow_kd(student, teacher, temperature), rel=1e-9, abs=1e-9)
    assert found.item() >= -1e-10  # float64 rounding of a sum near 0, times T^2 of 1e4 at most


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_torch_on_ordinary_inputs(temperature: float) -> None:
    """In fp32 it is torch's divergence of ordinary probabilities, batch mean, times T^2."""
    student, teacher = logits(32, 10).float(), logits(32, 10, seed=1).float()
    expected = temperature**2 * F.kl_div(
        (student / temperature).softmax(1).log(),
        (teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    torch.testing.assert_close(kd_loss(student, teacher, temperature=temperature), expected)


def test_default_temperature() -> None:
    """The temperature is 4 unless given."""
    student, teacher = logits(4, 10), logits(4, 10, seed=1)
    assert kd_loss(student, teacher) == kd_loss(student, teacher, temperature=4.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradcheck(temperature: float) -> None:
    """The gradient equals finite differences in float64."""
    student = logits(3, 5).requires_grad_()
    teacher = logits(3, 5, seed=1)
    assert torch.autograd.gradcheck(
        lambda z: kd_loss(z, teacher, temperature=temperature), (student,)
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_closed_form(temperature: float) -> None:
    """The gradient is (T / B) (q - p)."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1)
    (found,) = torch.autograd.grad(kd_loss(student, teacher, temperature=temperature), student)
    q, p = (student.detach() / temperature).softmax(1), (teacher / temperature).softmax(1)
    torch.testing.assert_close(found, temperature * (q - p) / 4, rtol=1e-9, atol=1e-12)


def test_large_temperature_limit() -> None:
    """For large T the gradient of an image is its centred logit difference over C."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1)
    (found,) = torch.autograd.grad(kd_loss(student, teacher, temperature=1e5), student)
    difference = student.detach() - teacher
    expected = (difference - difference.mean(1, keepdim=True)) / 10 / 4
    # The next term of the series is smaller by a factor of about logit / T, 1e-4 here.
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_zero_at_equality(precision: torch.dtype, temperature: float) -> None:
    """A student that equals its teacher has a loss of exactly 0 and no gradient to speak of."""
    student = logits(4, 10).to(precision).requires_grad_()
    loss = kd_loss(student, student.detach().clone(), temperature=temperature)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0
    assert gradient.abs().max() <= 1e-7 * temperature * 10  # fp32 rounding of q - p, times T


def test_invariances() -> None:
    """A constant added to a row, the order of the batch and the order of classes do not matter."""
    student, teacher = logits(6, 10), logits(6, 10, seed=1)
    expected = kd_loss(student, teacher)
    rows, columns = torch.arange(6).flip(0), torch.arange(10).roll(3)
    constants = logits(6, 1, seed=2, scale=50)
    for found in (
        kd_loss(student + constants, teacher),
        kd_loss(student, teacher - constants),
        kd_loss(student[rows], teacher[rows]),
        kd_loss(student[:, columns], teacher[:, columns]),
        kd_loss(student.repeat(3, 1), teacher.repeat(3, 1)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_direction() -> None:
    """The divergence goes from the teacher: a sure teacher, an undecided student, log C apart."""
    sure = torch.tensor([[500.0, 0.0, 0.0, 0.0]])
    undecided = torch.zeros(1, 4)
    found = kd_loss(undecided, sure, temperature=1.0)
    assert found.item() == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e4])
def test_finite(precision: torch.dtype, temperature: float, spread: float) -> None:
    """Value and gradient are finite for logits 1e4 apart, in any precision, under autocast too."""
    ends = spread * torch.tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    teacher = ends.roll(1, dims=0).to(precision)
    for enabled in (False, True):
        student = ends.to(precision).requires_grad_()
        low = torch.float16 if precision is torch.float16 else torch.bfloat16
        with torch.autocast("cpu", dtype=low, enabled=enabled):
            loss = kd_loss(student, teacher, temperature=temperature)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.dtype == torch.float32
        assert gradient.dtype == precision
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert (gradient.abs() <= temperature / 4 * 1.01).all()  # q - p is at most 1


def test_half_precision_is_computed_in_fp32() -> None:
    """Half-precision logits give what the same numbers give in fp32."""
    student, teacher = logits(8, 10).half(), logits(8, 10, seed=1).half()
    assert torch.equal(kd_loss(student, teacher), kd_loss(student.float(), teacher.float()))


def test_gradient_never_reaches_the_teacher() -> None:
    """The student learns; a teacher that asks for gradients gets none."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1).requires_grad_()
    torch.autograd.backward(kd_loss(student, teacher))
    assert student.grad is not None
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((4, 10), (4, 1)), ((4, 10), (1, 10)), ((4, 10), (4, 9)), ((10,), (10,))],
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError) as caught:
        kd_loss(torch.zeros(student), torch.zeros(teacher))
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature(temperature: float) -> None:
    """A temperature that is not a finite number above 0 is refused, by function and term."""
    with pytest.raises(UsageError, match="temperature"):
        kd_loss(torch.zeros(1, 2), torch.zeros(1, 2), temperature=temperature)
    with pytest.raises(UsageError, match="temperature"):
        KDTerm(temperature)


def test_term() -> None:
    """The term compares the student's logits with the signal's, and has nothing to train."""
    student, teacher = logits(4, 10), logits(4, 10, seed=1)
    unlabelled = torch.full((4,), -1)
    batch = Batch(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), unlabelled, torch.arange(4), 0)
    term = KDTerm(temperature=2.0)
    found = term(Output(student, {}), Signal(teacher, {}), batch)
    assert torch.equal(found, kd_loss(student, teacher, temperature=2.0))
    assert term.needs == Needs(teacher_logits=True)
    assert not list(term.parameters())
    with pytest.raises(UsageError, match="teacher"):
        term(Output(student, {}), NO_SIGNAL, batch)
