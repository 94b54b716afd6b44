"""What logit terms share: bringing rows to one scale, finding the label, and the checks."""

import functools
import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from support.examples import examples
from support.losses.checks import batch_of, finite_in_any_precision, gradcheck, gradient, numbers
from tutelage.config.losses.response import LogitLossConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.checks import check_temperature
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.logits import LogitTerm, check_logits, standardized, target_class
from tutelage.losses.term import Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, MixedLabels, ModelOutput, TeacherOutput


def matched(student: Tensor, teacher: Tensor, *, temperature: float = 4.0) -> Tensor:
    """KD of standardised logits."""
    found: Tensor = kd_loss(standardized(student), standardized(teacher), temperature=temperature)
    return found


class Difference(LogitTerm):
    """The mean difference, to see what a term is given."""

    name = "difference"

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        return (student - teacher)[0, 0] + 0 * batch.labels.sum()


@given(batch=st.integers(1, 5), classes=st.integers(2, 9), seed=st.integers(0, 999))
@examples(40)
def test_oracle(batch: int, classes: int, seed: int) -> None:
    """Each number less the mean, over the sample's standard deviation and 1e-7."""
    logits = numbers(batch, classes, seed=seed, scale=3) + 20
    found = standardized(logits)
    assert found.dtype == torch.float64
    for row, expected in zip(found.tolist(), logits.tolist(), strict=True):
        mean, deviation = statistics.fmean(expected), statistics.stdev(expected)
        assert row == pytest.approx([(z - mean) / (deviation + 1e-7) for z in expected], rel=1e-9)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
@pytest.mark.parametrize("shift", [-50.0, 0.0, 1e3])
def test_affine(scale: float, shift: float) -> None:
    """A positive scale and a shift of a row (another for each) do not matter; a negative scale turns it.

    But for the 1e-7 of the paper, which is 1e-5 of a standard deviation of 1e-2.
    """
    logits = numbers(4, 10)
    rows = torch.arange(1.0, 5.0)[:, None]
    changed = rows * scale * logits + rows * shift
    expected = standardized(logits)
    torch.testing.assert_close(standardized(changed), expected, rtol=2e-5, atol=1e-8)
    torch.testing.assert_close(standardized(-changed), -expected, rtol=2e-5, atol=1e-8)
    teacher = numbers(4, 10, seed=1)
    found = matched(changed, teacher)
    torch.testing.assert_close(found, matched(logits, teacher), rtol=2e-5, atol=0)


def test_gradient() -> None:
    """Finite differences agree, for ordinary and for nearly constant rows; none along the row itself."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    assert gradcheck(matched, student, teacher)
    # Rows within the bound: gradients are 1e4 times as large, and so are finite differences.
    nearly = 1e-5 * student
    leaf = nearly.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: matched(x, teacher), (leaf,), eps=1e-9)
    found = gradient(matched, student, teacher)
    # Neither a shift nor (but for the 1e-7) a scale of the row changes the loss.
    assert found.sum(1).abs().max() < 1e-12
    assert (found * student).sum(1).abs().max() < 1e-6 * found.abs().max()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4 / 3, 12345.678, -60000.0])
@pytest.mark.parametrize("classes", [1, 2, 7, 10, 1000])
def test_constant_row(precision: torch.dtype, value: float, classes: int) -> None:
    """A constant row becomes exactly 0, however its mean is rounded, and its gradient fits float16."""
    logits = torch.full((2, classes), value, dtype=precision)
    assert torch.equal(standardized(logits), torch.zeros_like(logits))
    found = gradient(matched, logits, numbers(2, classes).to(precision))
    assert found.abs().max() < 65504


@pytest.mark.parametrize("temperature", [0.05, 4.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e4])
def test_finite(spread: float, temperature: float) -> None:
    """Finite for constant rows and logits 1e4 apart, and for one image."""
    ends = spread * torch.tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    loss = functools.partial(matched, temperature=temperature)
    for teacher in (ends, ends.roll(1, dims=0)):
        finite_in_any_precision(loss, ends, teacher)
        finite_in_any_precision(loss, ends[:1], teacher[:1])


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [2.0, 4.0])
def test_torchdistill(precision: torch.dtype, temperature: float) -> None:
    """KD of standardised logits is the soft part of torchdistill's LogitStdKDLoss.

    As in their KDLoss, with alpha 0 it is the bare divergence, without T^2 and beta; otherwise it is alpha
    times the labels' cross-entropy (of the logits as they are) and beta times ours.
    """
    from torchdistill.losses.mid_level import LogitStdKDLoss

    student = numbers(16, 10, scale=3).to(precision)
    teacher = numbers(16, 10, seed=1, scale=9).to(precision) + 5
    labels = torch.arange(16) % 10

    def theirs(mine: Tensor, other: Tensor, alpha: float) -> Tensor:
        loss = LogitStdKDLoss("m", "output", "m", "output", temperature, alpha=alpha, beta=9.0)
        found: Tensor = loss({"m": {"output": mine}}, {"m": {"output": other}}, labels)
        return found

    def ours(mine: Tensor, other: Tensor, alpha: float) -> Tensor:
        soft = matched(mine, other, temperature=temperature)
        return alpha * F.cross_entropy(mine, labels) + 9 * soft if alpha else soft / temperature**2

    for alpha in (0.0, 0.1):
        expected = [f(student, teacher, alpha) for f in (theirs, ours)]
        torch.testing.assert_close(*expected, rtol=1e-5, atol=1e-6)
        both = [
            gradient(functools.partial(f, alpha=alpha), student, teacher) for f in (theirs, ours)
        ]
        torch.testing.assert_close(*both, rtol=1e-5, atol=1e-6)


def test_term() -> None:
    """A term gives both networks' logits to `compare`, as they are or both standardised."""
    student, teacher = numbers(3, 4).requires_grad_(), numbers(3, 4, seed=1).requires_grad_()
    output, signal, batch = ModelOutput(student, {}), TeacherOutput(teacher, {}), batch_of(3)
    plain = Difference()(output, signal, batch, START)
    assert plain.item() == (student - teacher)[0, 0].item()
    scaled = Difference(LogitLossConfig(standardize=True))(output, signal, batch, START)
    assert scaled.item() == (standardized(student) - standardized(teacher))[0, 0].item()
    torch.autograd.backward(scaled)
    assert student.grad is not None
    assert teacher.grad is None  # through the scale, too
    assert Difference().needs == Needs(teacher_logits=True)


def test_term_without_a_teacher() -> None:
    """A signal without logits is refused, and the message names the term."""
    with pytest.raises(UsageError, match="difference"):
        Difference()(ModelOutput(numbers(3, 4), {}), NO_TEACHER_OUTPUT, batch_of(3), START)


def test_target_class() -> None:
    """The label, that of the larger share of two (the first of equals), -1 where that one is unknown."""
    images, ids = torch.zeros(5, 3, 1, 1, dtype=torch.uint8), torch.arange(5)
    first, second = torch.tensor([0, 1, 2, -1, 3]), torch.tensor([5, 6, 7, 8, -1])
    assert torch.equal(target_class(Batch(images, first, ids, 0)), first)
    mixed = MixedLabels(second, torch.tensor([1.0, 0.5, 0.49, 0.6, 0.0]))
    found = target_class(Batch(images, first, ids, 0, mixed))
    assert found.tolist() == [0, 1, 7, -1, -1]
    assert found.dtype == torch.int64


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((4, 3), (4, 1)), ((4, 3), (1, 3)), ((3,), (3,)), ((2, 3, 1), (2, 3, 1))],
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Logits are [B, C] of one shape; both are printed otherwise."""
    check_logits(torch.zeros(4, 3), torch.zeros(4, 3))
    with pytest.raises(InputError) as caught:
        check_logits(torch.zeros(student), torch.zeros(teacher))
    assert f"student {list(student)}, teacher {list(teacher)}" in str(caught.value)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature(temperature: float) -> None:
    """A temperature is a finite number above 0."""
    check_temperature(0.05)
    with pytest.raises(UsageError, match="temperature"):
        check_temperature(temperature)
