"""DIST against plain loops, torchdistill, its invariances, nearly equal numbers, its refusals."""

import functools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from support.losses.checks import batch_of, finite_in_any_precision, gradcheck, gradient, numbers
from support.losses.logit_tester import LogitLossTester, softmax
from tutelage.config.losses.response import DISTConfig
from tutelage.errors import InputError
from tutelage.losses.response.dist import DISTTerm, dist_loss, pearson_correlation
from tutelage.types import START, ModelOutput, TeacherOutput

INTER = functools.partial(dist_loss, inter=1.0, intra=0.0)
INTRA = functools.partial(dist_loss, inter=0.0, intra=1.0)


def pearson(x: list[float], y: list[float]) -> float:
    """As in books, but for numbers that differ by less than a thousandth, which chance may bring."""

    def from_mean(z: list[float]) -> list[float]:
        mean = math.fsum(z) / len(z)
        size = max(math.hypot(*(value - mean for value in z)), 1e-3 * math.hypot(*z))
        return [(value - mean) / size for value in z]

    return math.fsum(a * b for a, b in zip(from_mean(x), from_mean(y), strict=True))


def slow_dist(
    student: Tensor, teacher: Tensor, *, temperature: float, inter: float, intra: float
) -> float:
    """The formula of the docstring, row by row and column by column."""
    q = [softmax([value / temperature for value in row]) for row in student.tolist()]
    p = [softmax([value / temperature for value in row]) for row in teacher.tolist()]
    rows = [pearson(a, b) for a, b in zip(q, p, strict=True)]
    columns = [
        pearson(list(a), list(b))
        for a, b in zip(zip(*q, strict=True), zip(*p, strict=True), strict=True)
    ]
    of_rows = inter * (1 - math.fsum(rows) / len(rows))
    of_columns = intra * (1 - math.fsum(columns) / len(columns))
    return temperature**2 * (of_rows + of_columns)


class TestDIST(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(dist_loss)
    slow = staticmethod(slow_dist)
    term, config = DISTTerm, DISTConfig
    across_batch = True
    drawn = {
        "temperature": st.sampled_from([0.5, 1.0, 4.0]),
        "inter": st.sampled_from([0.0, 1.0, 2.0]),
        "intra": st.sampled_from([0.0, 1.0, 2.0]),
    }
    fewest = (2, 2)
    defaults = {"temperature": 1.0, "inter": 2.0, "intra": 2.0}
    settings = {"temperature": 2.0, "inter": 0.5, "intra": 3.0}
    options = tuple(
        {"temperature": temperature, **weights}
        for temperature in (1.0, 4.0)
        for weights in ({}, {"inter": 0.0}, {"intra": 0.0})
    )
    equality = None  # but for the rounding of 1 - rho: see below

    def ends(self, logits: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Add identical images, and a class that is never likely: a column of zeros."""
        wide = torch.cat([logits, logits.amin(1, keepdim=True).clamp(max=0)], 1)
        same = wide[:1].repeat(4, 1)
        return [*super().ends(wide), (same, wide), (wide, same)]


@pytest.mark.parametrize("temperature", [1.0, 4.0, 100.0])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_zero_at_equality(temperature: float, precision: torch.dtype) -> None:
    """A student that equals its teacher has no loss, but for the rounding of 1 - rho."""
    student = numbers(6, 4, scale=2).to(precision)
    found = dist_loss(student, student.clone(), temperature=temperature)
    assert abs(found.item()) <= 20 * torch.finfo(precision).eps * temperature**2


@given(seed=st.integers(0, 999), temperature=st.sampled_from([0.5, 1.0, 4.0]))
@examples(50)
def test_bounds(seed: int, temperature: float) -> None:
    """Between 0 and 2 T^2 (inter + intra)."""
    student, teacher = numbers(5, 4, seed=seed), numbers(5, 4, seed=seed + 1000)
    found = dist_loss(student, teacher, temperature=temperature, inter=1.0, intra=2.0).item()
    assert -1e-12 <= found <= 2 * temperature**2 * 3 + 1e-12


@pytest.mark.parametrize("temperature", [0.05, 1.0, 4.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e4])
def test_finite_of_one_image(temperature: float, spread: float) -> None:
    """Without the images' relations one image is enough."""
    one, other = spread * torch.tensor([[[1.0, -1, 0, -1]], [[-1, 1, 0, -1]]])
    loss = functools.partial(dist_loss, temperature=temperature, intra=0.0)
    finite_in_any_precision(loss, one, other)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(("inter", "intra"), [(1.0, 1.0), (2.0, 0.5)])
def test_torchdistill(
    precision: torch.dtype, temperature: float, inter: float, intra: float
) -> None:
    """The same number, and the same gradient, as torchdistill's DISTLoss (its weights are 1 by default)."""
    from torchdistill.losses.mid_level import DISTLoss

    theirs = DISTLoss("m", "output", "m", "output", beta=inter, gamma=intra, tau=temperature)

    def other(student: Tensor, teacher: Tensor) -> Tensor:
        found: Tensor = theirs({"m": {"output": student}}, {"m": {"output": teacher}})
        return found

    ours = functools.partial(dist_loss, temperature=temperature, inter=inter, intra=intra)
    student, teacher = numbers(16, 10).to(precision), numbers(16, 10, seed=1).to(precision)
    scale = temperature**2  # fp32 rounding of 1 - rho, times T^2
    torch.testing.assert_close(
        ours(student, teacher), other(student, teacher), rtol=1e-6, atol=1e-6 * scale
    )
    torch.testing.assert_close(
        gradient(ours, student, teacher),
        gradient(other, student, teacher),
        rtol=1e-5,
        atol=1e-6 * scale,
    )


def test_gradcheck_of_nearly_equal_numbers() -> None:
    """Where the bound holds, value and gradient still belong together."""
    student, teacher = numbers(3, 4, scale=1e-4), numbers(3, 4, seed=1)
    assert gradcheck(dist_loss, student, teacher)


def test_inter_is_affine_by_row() -> None:
    """Probabilities scaled and shifted in each image (by its own numbers) lose nothing there."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    scale, shift = numbers(5, 1, seed=2).exp(), numbers(5, 1, seed=3).exp()
    # The softmax divides by scale + C shift, which is a scale again.
    changed = (scale * student.softmax(1) + shift).log()
    torch.testing.assert_close(INTER(changed, teacher), INTER(student, teacher))
    assert (INTRA(changed, teacher) - INTRA(student, teacher)).abs() > 1e-3
    assert INTER(changed, student).item() == pytest.approx(0, abs=1e-12)


def test_intra_is_affine_by_column() -> None:
    """Probabilities mixed with a fixed distribution, another shift for each class, lose nothing there."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    fixed = numbers(1, 4, seed=2).softmax(1)
    changed = (0.3 * student.softmax(1) + 0.7 * fixed).log()
    torch.testing.assert_close(INTRA(changed, teacher), INTRA(student, teacher))
    assert (INTER(changed, teacher) - INTER(student, teacher)).abs() > 1e-3
    assert INTRA(changed, student).item() == pytest.approx(0, abs=1e-12)


def test_correlation() -> None:
    """Any positive scale and shift per row or column leave it; a negative scale turns its sign."""
    x, y = numbers(5, 4), numbers(5, 4, seed=1)
    for dim, (a, b) in enumerate((((1, 4), (1, 4)), ((5, 1), (5, 1)))):
        scale, shift = numbers(*a, seed=2).exp(), numbers(*b, seed=3)
        expected = pearson_correlation(x, y, dim=dim)
        torch.testing.assert_close(pearson_correlation(scale * x + shift, y, dim=dim), expected)
        torch.testing.assert_close(pearson_correlation(x, y - shift * scale, dim=dim), expected)
        torch.testing.assert_close(pearson_correlation(-scale * x, y, dim=dim), -expected)


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e-4, 1.0])
def test_small_probabilities(scale: float) -> None:
    """A class that is never likely counts like any other in fp32; an epsilon of 1e-6 would silence it."""
    x, y = numbers(8, 1).exp(), numbers(8, 1, seed=1).exp()
    expected = pearson_correlation(x, y, dim=0)
    found = pearson_correlation((scale * x).float(), (scale * y).float(), dim=0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1e-20, 0.1, 1 / 3])
def test_equal_numbers(value: float) -> None:
    """Equal numbers correlate with nothing, whatever the rounding of their mean."""
    x, y = torch.full((2, 7), value), numbers(2, 7, seed=1).float()
    assert pearson_correlation(x, y, dim=1).abs().max() < 1e-3
    assert pearson_correlation(x, x.clone(), dim=1).abs().max() < 1e-6


def test_constant_student() -> None:
    """Equal logits, as a head of zeros gives: the loss is that of no relation, the gradient moderate."""
    student, teacher = torch.zeros(4, 10), numbers(4, 10).float()
    assert dist_loss(student, teacher).item() == pytest.approx(4, abs=1e-3)
    found = gradient(dist_loss, student, teacher)
    assert 0 < found.abs().max() < 1e3
    # and it points to the teacher
    nearer = dist_loss(-1e-2 * found / found.abs().max(), teacher)
    assert nearer < dist_loss(student, teacher) - 1


def test_one_image() -> None:
    """One image has no relation with others: refused by name, unless that part has no weight."""
    one, other = numbers(1, 4), numbers(1, 4, seed=1)
    with pytest.raises(InputError, match=r"dist relates the images(.|\n)*\[1, 4\]"):
        dist_loss(one, other)
    q, p = softmax(one[0].tolist()), softmax(other[0].tolist())
    assert INTER(one, other).item() == pytest.approx(1 - pearson(q, p), rel=1e-10)
    with pytest.raises(InputError, match="dist"):
        DISTTerm()(ModelOutput(one, {}), TeacherOutput(other, {}), batch_of(1), START)


def test_one_class() -> None:
    """One class has no relation with others: refused by name."""
    with pytest.raises(InputError, match=r"dist relates the classes(.|\n)*\[4, 1\]"):
        dist_loss(numbers(4, 1), numbers(4, 1))
