"""PKT against plain loops and a closed form, invariances, silent and opposite images, torchdistill."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import (
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    pair,
    said,
    spares_the_teacher,
)
from torch import Tensor

from tutelage.config.losses.relation import PKTConfig
from tutelage.errors import InputError
from tutelage.losses.relation.pkt import PKTTerm, pkt_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo


def choices(vectors: Tensor) -> list[list[float]]:
    rows = vectors.tolist()
    found = []
    for x in rows:
        kernel = []
        for y in rows:
            lengths = math.hypot(*x) * math.hypot(*y)
            inner = sum(a * b for a, b in zip(x, y, strict=True))
            kernel.append((inner / lengths + 1) / 2 if lengths else 0.5)
        found.append([max(k, 0.0) / sum(kernel) for k in kernel])
    return found


def oracle(student: Tensor, teacher: Tensor) -> float:
    mine, theirs = choices(student), choices(teacher)
    pairs = [(i, j) for i in range(len(mine)) for j in range(len(mine))]
    terms = [theirs[i][j] * math.log((theirs[i][j] + 1e-7) / (mine[i][j] + 1e-7)) for i, j in pairs]
    return sum(terms) / len(mine) ** 2


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 6),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    silent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_oracle(count: int, widths: tuple[int, int], silent: bool, seed: int) -> None:
    """Pair by pair, with widths that differ (of width 1, cosines are 1 or -1); with a silent image, too."""
    student = numbers(count, widths[0], seed=seed)
    teacher = numbers(count, widths[1], seed=seed + 100)
    if silent:
        student[0] = 0
    expected = oracle(student, teacher)
    assert pkt_loss(student, teacher).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_closed_form() -> None:
    """Two alike images choose evenly; two at right angles choose themselves with 2 of 3."""
    found = pkt_loss(torch.ones(2, 3).double(), torch.eye(2).double()).item()
    expected = 2 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)) / 4
    assert found == pytest.approx(expected, abs=1e-7)


def test_gradient() -> None:
    """Finite differences agree; the teacher gets none."""
    student, teacher = numbers(5, 3), numbers(5, 4, seed=1)
    assert gradcheck(pkt_loss, student, teacher)
    assert gradcheck(pkt_loss, torch.eye(3), teacher[:3])
    spares_the_teacher(pkt_loss, student, teacher)


def test_invariances() -> None:
    """0 and flat at equality; the size of every single vector and a rotation do not matter."""
    student, teacher = numbers(6, 4), numbers(6, 4, seed=1)
    assert pkt_loss(student, student).item() == 0
    assert gradient(pkt_loss, student, student).abs().max() < 1e-6
    expected = pkt_loss(student, teacher)
    rotation = torch.linalg.qr(numbers(4, 4, seed=2)).Q
    sizes = numbers(6, 1, seed=3).exp()
    for change in (lambda x: x * sizes, lambda x: x @ rotation, torch.neg):
        torch.testing.assert_close(pkt_loss(change(student), teacher), expected)
        torch.testing.assert_close(pkt_loss(student, change(teacher)), expected)
    torch.testing.assert_close(pkt_loss(student.flip(0), teacher.flip(0)), expected)
    assert not torch.isclose(pkt_loss(student.flip(0), teacher), expected)
    # A common offset brings all directions together: it does matter.
    assert not torch.isclose(pkt_loss(student + 5, teacher), expected)


def test_silent_image() -> None:
    """A vector of zeros has cosine 0 with all, and a gradient of ordinary size, not 1e7."""
    student, teacher = numbers(4, 3).float(), numbers(4, 3, seed=1).float()
    student[2] = 0
    found = pkt_loss(student, teacher).item()
    assert found == pytest.approx(oracle(student, teacher), rel=1e-4)
    assert gradient(pkt_loss, student, teacher).abs().max() < 10


def test_opposite_images() -> None:
    """A student that gives a choice of the teacher's no chance at all pays log 1e-7, not infinity."""
    student = torch.tensor([[3.0, 1.0], [-3.0, -1.0]])
    found = pkt_loss(student, torch.ones(2, 2))
    expected = 2 * (0.5 * math.log(0.5) + 0.5 * math.log(0.5 / 1e-7)) / 4
    assert found.item() == pytest.approx(expected, rel=0.02)
    assert torch.isfinite(gradient(pkt_loss, student, torch.ones(2, 2))).all()


def test_rounding_below_no_chance() -> None:
    """Cosines of opposites that rounding puts 2e-7 below -1 have a logarithm, too."""
    for seed in range(200):
        student = numbers(1, 3, seed=seed).float()
        student = torch.cat([student, -1.7 * student])
        assert torch.isfinite(pkt_loss(student, torch.ones(2, 3))), seed


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 4])
def test_finite(scale: float, count: int) -> None:
    """Finite in every precision: 1e-7 is 0 in float16, and squares of 1e4 do not fit."""
    student = numbers(count, 6, scale=scale)
    teacher = numbers(count, 3, seed=1, scale=scale)
    zero = torch.zeros_like(student)
    one = torch.cat([student[:1], zero[1:]])
    for mine in (student, zero, one, torch.full_like(student, scale), student[:1].expand_as(zero)):
        finite_in_any_precision(pkt_loss, mine, teacher)
        finite_in_any_precision(pkt_loss, student, mine)


@pytest.mark.parametrize("scale", [1e-15, 1e30])
def test_range(scale: float) -> None:
    """Squares that do not fit fp32 do fit."""
    student, teacher = numbers(4, 6).float(), numbers(4, 3, seed=1).float()
    expected = pkt_loss(student, teacher)
    torch.testing.assert_close(pkt_loss(student * scale, teacher * scale), expected)


def test_batch_of_one() -> None:
    """No neighbour to choose: 0, and gradient 0."""
    student, teacher = numbers(1, 3), numbers(1, 4, seed=1)
    assert pkt_loss(student, teacher).item() == 0
    assert gradient(pkt_loss, student, teacher).abs().max() < 1e-12


@pytest.mark.parametrize("teacher", [(3, 5), (4, 5, 2), (1, 5)])
def test_shapes(teacher: tuple[int, ...]) -> None:
    """Other images, or no vectors, are refused with both shapes printed; nothing is broadcast."""
    with pytest.raises(InputError, match="pkt") as error:
        pkt_loss(torch.zeros(4, 5), torch.zeros(*teacher))
    assert "[4, 5]" in str(error.value)
    assert str(list(teacher)) in str(error.value)


@pytest.mark.parametrize(("shape", "places"), [((6, 2, 2), (2, 3)), ((5, 6), (1,)), ((6,), None)])
def test_term(shape: tuple[int, ...], places: tuple[int, ...] | None) -> None:
    """Maps and tokens are compared by their mean over positions."""
    term = PKTTerm([pair(shape, (8,))])
    assert term.across_batch
    student, teacher = numbers(4, *shape), numbers(4, 8, seed=1)
    mean = student if places is None else student.mean(places)
    torch.testing.assert_close(said(term, student, teacher), pkt_loss(mean, teacher))


def test_build() -> None:
    """Unset points are what the classifiers are given; of several named ones, the sum."""
    networks = [
        NetworkInfo("Net", (), FeaturePoint("fc.input", (6,)), None, {}),
        NetworkInfo("Net", (), FeaturePoint("head.input", (8,)), None, {}),
    ]
    term = PKTTerm.build(PKTConfig(), BuildContext(*networks, classes=4, images=9))
    assert term.needs == Needs(student_points=("fc.input",), teacher_vectors=("head.input",))
    both = PKTTerm([pair((3,), (3,)), pair((3,), (3,))])
    student, teacher = numbers(4, 3), numbers(4, 3, seed=1)
    torch.testing.assert_close(said(both, student, teacher), 2 * pkt_loss(student, teacher))


def test_torchdistill() -> None:
    """They agree; with their epsilon beside the length of vectors as far as it goes."""
    from torchdistill.losses.mid_level import PKTLoss

    student, teacher = numbers(7, 5, scale=100), numbers(7, 3, seed=1, scale=100)
    theirs = PKTLoss("s", "output", "t", "output")
    expected = theirs({"s": {"output": student}}, {"t": {"output": teacher}})
    torch.testing.assert_close(pkt_loss(student, teacher), expected, rtol=1e-6, atol=0)
