"""Knowledge distillation against plain loops, closed forms, torchdistill, its invariances and its limits."""

import functools
import itertools
import math

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from support.losses.checks import gradient, numbers
from support.losses.logit_tester import REFUSED_TEMPERATURES, TEMPERATURES, LogitLossTester
from tutelage.config.losses.response import KDConfig
from tutelage.errors import UsageError
from tutelage.losses.response.kd import Direction, KDTerm, kd_loss

DIRECTIONS: list[Direction] = ["forward", "reverse", "jensen-shannon"]


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    norm = math.log(math.fsum(math.exp(value - top) for value in row))
    return [value - top - norm for value in row]


def divergence(log_of: list[float], log_from: list[float]) -> float:
    return math.fsum(math.exp(a) * (a - b) for a, b in zip(log_of, log_from, strict=True))


def slow_kd(
    student: Tensor, teacher: Tensor, temperature: float, direction: Direction = "forward"
) -> float:
    """The formulas of the docstring, number by number."""
    total = 0.0
    for student_row, teacher_row in zip(student.tolist(), teacher.tolist(), strict=True):
        log_q = log_softmax([value / temperature for value in student_row])
        log_p = log_softmax([value / temperature for value in teacher_row])
        if direction == "forward":
            total += divergence(log_p, log_q)
        elif direction == "reverse":
            total += divergence(log_q, log_p)
        else:
            for mine, other in ((log_p, log_q), (log_q, log_p)):
                # log (m / a) = log (1 + b / a) - log 2, in the form that cannot overflow
                gaps = [b - a for a, b in zip(mine, other, strict=True)]
                logs = [max(gap, 0) + math.log1p(math.exp(-abs(gap))) for gap in gaps]
                rows = zip(mine, logs, strict=True)
                total += math.fsum(math.exp(a) * (math.log(2) - log) for a, log in rows) / 2
    return temperature**2 * total / len(student)


class TestKD(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(kd_loss)
    slow = staticmethod(slow_kd)
    term, config = KDTerm, KDConfig
    drawn = {
        "temperature": st.sampled_from(TEMPERATURES),
        "direction": st.sampled_from(DIRECTIONS),
    }
    defaults = {"temperature": 4.0, "direction": "forward"}
    settings = {"temperature": 2.0, "direction": "reverse"}
    options = tuple(
        {"temperature": temperature, "direction": direction}
        for temperature, direction in itertools.product((0.5, 1.0, 4.0), DIRECTIONS)
    )
    equality = None  # Jensen-Shannon's middle is rounded: see below
    extreme_options = tuple(
        {"temperature": temperature, "direction": direction}
        for temperature, direction in itertools.product(TEMPERATURES, DIRECTIONS)
    )
    wrong = (*REFUSED_TEMPERATURES, {"direction": "revers"})


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_is_bounded(temperature: float) -> None:
    """Forward, a row's gradient is at most T / B, however far apart the logits: q - p is at most 1."""
    ends = 1e4 * torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    found = gradient(functools.partial(kd_loss, temperature=temperature), ends, ends.roll(1, 0))
    assert (found.abs() <= temperature / 4 * 1.01).all()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_torch_on_ordinary_inputs(temperature: float) -> None:
    """In fp32 it is torch's divergence of ordinary probabilities, batch mean, times T^2."""
    student, teacher = numbers(32, 10).float(), numbers(32, 10, seed=1).float()
    expected = temperature**2 * F.kl_div(
        (student / temperature).softmax(1).log(),
        (teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    torch.testing.assert_close(kd_loss(student, teacher, temperature=temperature), expected)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_torchdistill(precision: torch.dtype, temperature: float) -> None:
    """Our number and gradient are the soft part of torchdistill's KDLoss, which has two faces.

    With alpha 0 (or no labels) it is the bare divergence, without T^2 and beta:        ours = T^2 theirs.
    Otherwise alpha is the weight of the labels and beta, unless given, 1 - alpha:      theirs = alpha CE
    + beta ours. Our own alpha is the weight of this term.
    """
    from torchdistill.losses.mid_level import KDLoss

    def theirs(student: Tensor, targets: Tensor | None, alpha: float, beta: float | None) -> Tensor:
        loss = KDLoss("m", "output", "m", "output", temperature, alpha=alpha, beta=beta)
        found: Tensor = loss({"m": {"output": student}}, {"m": {"output": teacher}}, targets)
        return found

    student = numbers(16, 10).to(precision).requires_grad_()
    teacher = numbers(16, 10, seed=1).to(precision)
    labels = torch.arange(16) % 10
    hard = F.cross_entropy(student, labels)
    ours = kd_loss(student, teacher, temperature=temperature)
    for other, expected in (
        (theirs(student, labels, 0.0, None), ours / temperature**2),
        (theirs(student, None, 0.3, None), ours / temperature**2),
        (theirs(student, labels, 0.3, None), 0.3 * hard + 0.7 * ours),
        (theirs(student, labels, 0.5, 9.0), 0.5 * hard + 9 * ours),
    ):
        torch.testing.assert_close(other, expected, rtol=1e-6, atol=1e-6)
        both = [torch.autograd.grad(x, student, retain_graph=True)[0] for x in (other, expected)]
        torch.testing.assert_close(*both, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_closed_form(temperature: float) -> None:
    """The gradient is (T / B) (q - p)."""
    student, teacher = numbers(4, 10).requires_grad_(), numbers(4, 10, seed=1)
    (found,) = torch.autograd.grad(kd_loss(student, teacher, temperature=temperature), student)
    q, p = (student.detach() / temperature).softmax(1), (teacher / temperature).softmax(1)
    torch.testing.assert_close(found, temperature * (q - p) / 4, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_reverse_gradient_closed_form(temperature: float) -> None:
    """The reverse gradient is (T / B) q (log q - log p - KL(q || p))."""
    student, teacher = numbers(4, 10).requires_grad_(), numbers(4, 10, seed=1)
    loss = kd_loss(student, teacher, temperature=temperature, direction="reverse")
    (found,) = torch.autograd.grad(loss, student)
    log_q, log_p = (student.detach() / temperature).log_softmax(1), teacher / temperature
    excess = log_q - log_p.log_softmax(1)
    q = log_q.exp()
    expected = temperature * q * (excess - (q * excess).sum(1, keepdim=True)) / 4
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_directions_mirror_each_other(temperature: float) -> None:
    """Reverse is forward with the networks exchanged; Jensen-Shannon does not change by that."""
    student, teacher = numbers(4, 10), numbers(4, 10, seed=1)
    loss = functools.partial(kd_loss, temperature=temperature)
    forward, reverse = loss(student, teacher), loss(student, teacher, direction="reverse")
    assert (forward - reverse).abs() > 0.01
    torch.testing.assert_close(reverse, loss(teacher, student), rtol=1e-12, atol=0)
    here = loss(student, teacher, direction="jensen-shannon")
    there = loss(teacher, student, direction="jensen-shannon")
    torch.testing.assert_close(here, there, rtol=1e-12, atol=0)
    assert here < (forward + reverse) / 4  # as the logarithm is concave


@pytest.mark.parametrize("temperature", [0.05, 1.0, 4.0])
def test_jensen_shannon_is_bounded(temperature: float) -> None:
    """At most T^2 log 2, which it reaches where student and teacher name different classes for sure."""
    sure = 1e4 * torch.eye(4)
    most = temperature**2 * math.log(2)
    loss = functools.partial(kd_loss, temperature=temperature, direction="jensen-shannon")
    assert loss(sure, sure.roll(1, dims=0)).item() == pytest.approx(most, rel=1e-6)
    for scale in (1.0, 10.0, 100.0):
        student, teacher = numbers(8, 10, scale=scale), numbers(8, 10, seed=1, scale=scale)
        assert 0 <= loss(student, teacher).item() <= most


@pytest.mark.parametrize(("direction", "share"), [("forward", 1), ("reverse", 1), (None, 0.25)])
def test_large_temperature_limit(direction: Direction | None, share: float) -> None:
    """For large T the gradient of an image is its centred logit difference over C; a quarter of it for JS."""
    student, teacher = numbers(4, 10).requires_grad_(), numbers(4, 10, seed=1)
    loss = kd_loss(student, teacher, temperature=1e5, direction=direction or "jensen-shannon")
    (found,) = torch.autograd.grad(loss, student)
    difference = student.detach() - teacher
    expected = share * (difference - difference.mean(1, keepdim=True)) / 10 / 4
    # The next term of the series is smaller by a factor of about logit / T, 1e-4 here.
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_zero_at_equality(precision: torch.dtype, temperature: float, direction: Direction) -> None:
    """A student that equals its teacher has a loss of 0 and no gradient to speak of.

    Exactly 0, but for Jensen-Shannon, whose middle is rounded.
    """
    student = numbers(4, 10).to(precision).requires_grad_()
    loss = kd_loss(student, student.detach().clone(), temperature=temperature, direction=direction)
    (gradient,) = torch.autograd.grad(loss, student)
    assert abs(loss.item()) <= (1e-6 * temperature**2 if direction == "jensen-shannon" else 0)
    assert gradient.abs().max() <= 1e-7 * temperature * 10  # fp32 rounding of q - p, times T


def test_direction() -> None:
    """Forward goes from the teacher: a sure teacher, an undecided student, log C apart; reverse goes back."""
    sure = torch.tensor([[500.0, 0.0, 0.0, 0.0]])
    undecided = torch.zeros(1, 4)
    found = kd_loss(undecided, sure, temperature=1.0)
    assert found.item() == pytest.approx(math.log(4), rel=1e-6)
    back = kd_loss(undecided, sure, temperature=1.0, direction="reverse")
    assert back.item() == pytest.approx(0.75 * 500 - math.log(4), rel=1e-6)


def test_unknown_direction() -> None:
    """A direction that does not exist is refused with the nearest that does, by function and term."""
    with pytest.raises(UsageError, match="did you mean reverse"):
        kd_loss(torch.zeros(1, 2), torch.zeros(1, 2), direction="revers")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="direction"):
        KDTerm(KDConfig(direction="revers"))  # type: ignore[arg-type]
