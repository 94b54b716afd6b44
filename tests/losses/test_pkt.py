"""PKT against plain loops and a closed form, invariances, silent and opposite images, torchdistill."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from support.losses.checks import gradient, numbers
from support.losses.term_testers import VectorLossTester
from support.losses.tester import order
from tutelage.config.losses.relation import PKTConfig
from tutelage.losses.relation.pkt import PKTTerm, pkt_loss


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


TURN = torch.linalg.qr(numbers(4, 4, seed=2)).Q
SIZES = numbers(6, 1, seed=3).exp()


class TestPKT(VectorLossTester):
    """What holds for every loss that compares vectors."""

    loss = staticmethod(pkt_loss)
    name = "pkt"
    term, config = PKTTerm, PKTConfig
    shapes = (((6, 4), (6, 4)),)
    gradient_at_equality = 1e-6
    either = (lambda x: x * SIZES, lambda x: x @ TURN, torch.neg)
    unlike = (order, lambda x: x + 5)  # an offset brings all directions together


@examples(30)
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


def test_torchdistill() -> None:
    """They agree; with their epsilon beside the length of vectors as far as it goes."""
    from torchdistill.losses.mid_level import PKTLoss

    student, teacher = numbers(7, 5, scale=100), numbers(7, 3, seed=1, scale=100)
    theirs = PKTLoss("s", "output", "t", "output")
    expected = theirs({"s": {"output": student}}, {"t": {"output": teacher}})
    torch.testing.assert_close(pkt_loss(student, teacher), expected, rtol=1e-6, atol=0)
