"""Knowledge distillation against plain loops, closed forms, torchdistill, its invariances and its limits."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import KDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.kd import Direction, KDTerm, kd_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, ModelOutput, NetworkInfo, TeacherOutput

TEMPERATURES = [0.05, 0.5, 1.0, 4.0, 20.0, 100.0]
DIRECTIONS: list[Direction] = ["forward", "reverse", "jensen-shannon"]
NOWHERE = NetworkInfo("", (), None, None, {})


def logits(batch: int, classes: int, *, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, classes, generator=generator, dtype=torch.float64)


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


@given(
    batch=st.integers(1, 6),
    classes=st.integers(1, 12),
    seed=st.integers(0, 999),
    temperature=st.sampled_from(TEMPERATURES),
    direction=st.sampled_from(DIRECTIONS),
)
@settings(max_examples=90, deadline=None)
def test_oracle(
    batch: int, classes: int, seed: int, temperature: float, direction: Direction
) -> None:
    """The loss equals plain loops in float64, and is never negative."""
    student, teacher = logits(batch, classes, seed=seed), logits(batch, classes, seed=seed + 1000)
    found = kd_loss(student, teacher, temperature=temperature, direction=direction)
    assert found.dtype == torch.float64
    expected = slow_kd(student, teacher, temperature, direction)
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
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

    student = logits(16, 10).to(precision).requires_grad_()
    teacher = logits(16, 10, seed=1).to(precision)
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


def test_defaults() -> None:
    """The temperature is 4 and the direction forward unless given."""
    student, teacher = logits(4, 10), logits(4, 10, seed=1)
    assert kd_loss(student, teacher) == kd_loss(
        student, teacher, temperature=4.0, direction="forward"
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gradcheck(temperature: float, direction: Direction) -> None:
    """The gradient equals finite differences in float64."""
    student = logits(3, 5).requires_grad_()
    teacher = logits(3, 5, seed=1)
    assert torch.autograd.gradcheck(
        lambda z: kd_loss(z, teacher, temperature=temperature, direction=direction), (student,)
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_closed_form(temperature: float) -> None:
    """The gradient is (T / B) (q - p)."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1)
    (found,) = torch.autograd.grad(kd_loss(student, teacher, temperature=temperature), student)
    q, p = (student.detach() / temperature).softmax(1), (teacher / temperature).softmax(1)
    torch.testing.assert_close(found, temperature * (q - p) / 4, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_reverse_gradient_closed_form(temperature: float) -> None:
    """The reverse gradient is (T / B) q (log q - log p - KL(q || p))."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1)
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
    student, teacher = logits(4, 10), logits(4, 10, seed=1)
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
        student, teacher = logits(8, 10, scale=scale), logits(8, 10, seed=1, scale=scale)
        assert 0 <= loss(student, teacher).item() <= most


@pytest.mark.parametrize(("direction", "share"), [("forward", 1), ("reverse", 1), (None, 0.25)])
def test_large_temperature_limit(direction: Direction | None, share: float) -> None:
    """For large T the gradient of an image is its centred logit difference over C; a quarter of it for JS."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1)
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
    student = logits(4, 10).to(precision).requires_grad_()
    loss = kd_loss(student, student.detach().clone(), temperature=temperature, direction=direction)
    (gradient,) = torch.autograd.grad(loss, student)
    assert abs(loss.item()) <= (1e-6 * temperature**2 if direction == "jensen-shannon" else 0)
    assert gradient.abs().max() <= 1e-7 * temperature * 10  # fp32 rounding of q - p, times T


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_invariances(direction: Direction) -> None:
    """A constant added to a row, the order of the batch and the order of classes do not matter."""
    loss = functools.partial(kd_loss, direction=direction)
    student, teacher = logits(6, 10), logits(6, 10, seed=1)
    expected = loss(student, teacher)
    rows, columns = torch.arange(6).flip(0), torch.arange(10).roll(3)
    constants = logits(6, 1, seed=2, scale=50)
    for found in (
        loss(student + constants, teacher),
        loss(student, teacher - constants),
        loss(student[rows], teacher[rows]),
        loss(student[:, columns], teacher[:, columns]),
        loss(student.repeat(3, 1), teacher.repeat(3, 1)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


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
        KDTerm(direction="revers")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_finite(
    precision: torch.dtype, temperature: float, spread: float, direction: Direction
) -> None:
    """Value and gradient are finite for logits 1e4 apart, in any precision, under autocast too."""
    ends = spread * torch.tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    teacher = ends.roll(1, dims=0).to(precision)
    for enabled in (False, True):
        student = ends.to(precision).requires_grad_()
        low = torch.float16 if precision is torch.float16 else torch.bfloat16
        with torch.autocast("cpu", dtype=low, enabled=enabled):
            loss = kd_loss(student, teacher, temperature=temperature, direction=direction)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.dtype == torch.float32
        assert gradient.dtype == precision
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        if direction == "forward":
            assert (gradient.abs() <= temperature / 4 * 1.01).all()  # q - p is at most 1


def test_half_precision_is_computed_in_fp32() -> None:
    """Half-precision logits give what the same numbers give in fp32."""
    student, teacher = logits(8, 10).half(), logits(8, 10, seed=1).half()
    assert torch.equal(kd_loss(student, teacher), kd_loss(student.float(), teacher.float()))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gradient_never_reaches_the_teacher(direction: Direction) -> None:
    """The student learns; a teacher that asks for gradients gets none."""
    student, teacher = logits(4, 10).requires_grad_(), logits(4, 10, seed=1).requires_grad_()
    torch.autograd.backward(kd_loss(student, teacher, direction=direction))
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


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """The term compares the student's logits with the signal's as set, and has nothing to train."""
    student, teacher = logits(4, 10), logits(4, 10, seed=1)
    unlabelled = torch.full((4,), -1)
    batch = Batch(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), unlabelled, torch.arange(4), 0)
    chosen = KDConfig(temperature=2.0, direction="reverse", standardize=standardize)
    term = KDTerm.build(chosen, BuildContext(NOWHERE, NOWHERE, 10, 4))
    found = term(ModelOutput(student, {}), TeacherOutput(teacher, {}), batch, START)
    prepared = [standardized(x) if standardize else x for x in (student, teacher)]
    assert torch.equal(found, kd_loss(*prepared, temperature=2.0, direction="reverse"))
    assert term.needs == Needs(teacher_logits=True)
    assert not term.across_batch
    assert not term.state_dict()
    with pytest.raises(UsageError, match="teacher"):
        term(ModelOutput(student, {}), NO_TEACHER_OUTPUT, batch, START)


def test_term_defaults() -> None:
    """The term's defaults are those of its settings."""
    term, default = KDTerm(), KDConfig()
    assert (term.temperature, term.direction, term.standardize) == (
        default.temperature,
        default.direction,
        default.standardize,
    )
