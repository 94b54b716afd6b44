"""RKD distances against plain loops and closed forms, invariances, precision, identical images."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from support.losses.checks import gradcheck, gradient, numbers, pair, term_loss
from support.losses.term_testers import VectorLossTester
from support.losses.tester import order
from tutelage.config.losses.relation import RKDDistanceConfig
from tutelage.errors import InputError
from tutelage.losses.distances import relative_distances
from tutelage.losses.relation.rkd_distance import RKDDistanceTerm, rkd_distance_loss


def relative(vectors: Tensor) -> list[list[float]]:
    rows = vectors.double().tolist()
    found = [[math.dist(x, y) for y in rows] for x in rows]
    mean = sum(map(sum, found)) / (len(rows) * (len(rows) - 1))
    return [[d / mean if mean else 0.0 for d in row] for row in found]


def oracle(student: Tensor, teacher: Tensor) -> float:
    mine, theirs = relative(student), relative(teacher)
    total = 0.0
    for i in range(len(mine)):
        for j in range(len(mine)):
            a = abs(mine[i][j] - theirs[i][j])
            total += a**2 / 2 if a < 1 else a - 0.5
    return total / len(mine) ** 2


TURN = torch.linalg.qr(numbers(4, 4, seed=2)).Q


class TestRKDDistance(VectorLossTester):
    """What holds for every loss that compares vectors."""

    loss = staticmethod(rkd_distance_loss)
    name = "rkd_distance"
    term, config = RKDDistanceTerm, RKDDistanceConfig
    least = 2
    shapes = (((5, 4), (5, 4)),)
    either = (
        lambda x: x + numbers(4, seed=3),
        lambda x: x @ TURN,
        lambda x: 1e3 * x,
        lambda x: -1e-3 * x,
        lambda x: torch.cat([x, torch.ones(5, 2, dtype=x.dtype)], 1),
    )
    unlike = (order,)

    def test_congruent_networks(self) -> None:
        """The loss is 0 where one network's vectors are the other's, moved, turned or scaled."""
        student = numbers(5, 4)
        for change in self.either:
            assert rkd_distance_loss(change(student), student).item() < 1e-20


def test_gradient_of_large_differences() -> None:
    """Finite differences agree, also where differences are beyond 1."""
    student = numbers(5, 3)
    student[0] *= 50
    assert gradcheck(rkd_distance_loss, student, numbers(5, 4, seed=1))


@examples(30)
@given(
    count=st.integers(2, 6),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
    outlier=st.sampled_from([1.0, 50.0]),
)
def test_oracle(count: int, widths: tuple[int, int], seed: int, outlier: float) -> None:
    """Pair by pair, with widths that differ; an outlier brings differences above 1, the linear part."""
    student = numbers(count, widths[0], seed=seed)
    teacher = numbers(count, widths[1], seed=seed + 100)
    student[0] *= outlier
    expected = oracle(student, teacher)
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_closed_form() -> None:
    """Points 0, 1, 3 on a line: distances 1, 2, 3 in units of 2; teacher: all equal."""
    student = torch.tensor([[0.0], [1.0], [3.0]])
    teacher = torch.eye(3)
    expected = 2 * (0.5**2 / 2 + 0.0 + 0.5**2 / 2) / 9
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(expected)


def test_two_images() -> None:
    """Two images always lie one mean distance apart: nothing to learn, but no refusal."""
    assert rkd_distance_loss(numbers(2, 3), numbers(2, 5, seed=1)).item() < 1e-24


@pytest.mark.parametrize(("offset", "spread"), [(1e3, 1.0), (1e6, 1.0), (0.0, 1e-3), (300.0, 0.01)])
def test_precision(offset: float, spread: float) -> None:
    """Clusters far from the origin lose no digits in fp32: not by the offset, not by their tightness."""
    centres = numbers(4, 16, seed=5).repeat_interleave(4, 0)
    student = (offset + centres + spread * numbers(16, 16)).float()
    teacher = (centres + numbers(16, 16, seed=1)).float()
    found = rkd_distance_loss(student, teacher)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(oracle(student, teacher), rel=1e-6)
    mine = relative_distances(student)
    torch.testing.assert_close(mine, torch.tensor(relative(student)).double(), rtol=1e-6, atol=0)
    exact = gradient(rkd_distance_loss, student.double(), teacher.double())
    wrong = (gradient(rkd_distance_loss, student, teacher) - exact).abs().max()
    assert wrong < 1e-6 * exact.abs().max()


def test_identical_images() -> None:
    """Twins have distance 0 and count so in the mean; they feel no force between them, and no NaN."""
    student, teacher = numbers(5, 3).float(), numbers(5, 3, seed=1).float()
    student[1] = student[0]
    found = rkd_distance_loss(student, teacher).item()
    assert found == pytest.approx(oracle(student, teacher), rel=1e-6)
    assert relative_distances(student)[0, 1] == 0
    slope = gradient(rkd_distance_loss, student, teacher)
    assert torch.isfinite(slope).all()
    assert slope.abs().max() < 1
    only = gradient(rkd_distance_loss, student[:2], teacher[:2])
    assert (only == 0).all()


def test_huge() -> None:
    """Squares that do not fit fp32 do fit."""
    student, teacher = numbers(4, 6).float(), numbers(4, 3, seed=1).float()
    expected = rkd_distance_loss(student, teacher)
    torch.testing.assert_close(rkd_distance_loss(student * 1e30, teacher * 1e-30), expected)


def test_nan_shows() -> None:
    """A NaN is no identical image: it must stop the training."""
    student = numbers(4, 3)
    student[1, 1] = math.nan
    assert rkd_distance_loss(student, numbers(4, 3)).isnan()


def test_batch_of_one() -> None:
    """One image has no distances, and the term says so by name."""
    term = RKDDistanceTerm([pair((6,), (8,))])
    with pytest.raises(InputError, match=r"rkd_distance[\s\S]*at least 2"):
        term_loss(term, torch.zeros(1, 6), torch.zeros(1, 8))


def test_torchdistill() -> None:
    """They agree, also with twins (whose distance they clamp at 1e-6)."""
    from torchdistill.losses.mid_level import RKDLoss

    theirs = RKDLoss("s", "t", dist_factor=1.0, angle_factor=0.0, reduction="mean")
    student, teacher = numbers(7, 5), numbers(7, 3, seed=1)
    for _ in range(2):
        found = rkd_distance_loss(student, teacher)
        expected = theirs.compute_rkd_distance_loss(teacher, student)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        student[1] = student[0]
