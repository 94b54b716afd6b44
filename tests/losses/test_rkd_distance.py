"""RKD distances against plain loops and closed forms, invariances, precision, identical images."""

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

from tutelage.config.losses.relation import RKDDistanceConfig
from tutelage.errors import InputError
from tutelage.losses.distances import relative_distances
from tutelage.losses.relation.rkd_distance import RKDDistanceTerm, rkd_distance_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo


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


@settings(max_examples=30, deadline=None)
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


def test_gradient() -> None:
    """Finite differences agree, also where differences are beyond 1; the teacher gets none."""
    student, teacher = numbers(5, 3), numbers(5, 4, seed=1)
    student[0] *= 50
    assert gradcheck(rkd_distance_loss, student, teacher)
    spares_the_teacher(rkd_distance_loss, student, teacher)


def test_invariances() -> None:
    """0 at equality; a translation, rotation or scale of one network's vectors changes nothing."""
    student, teacher = numbers(6, 4), numbers(6, 4, seed=1)
    assert rkd_distance_loss(student, student).item() == 0
    expected = rkd_distance_loss(student, teacher)
    rotation = torch.linalg.qr(numbers(4, 4, seed=2)).Q
    for change in (
        lambda x: x + numbers(4, seed=3),
        lambda x: x @ rotation,
        lambda x: 1e3 * x,
        lambda x: -1e-3 * x,
        lambda x: torch.cat([x, torch.ones(6, 2, dtype=x.dtype)], 1),
    ):
        torch.testing.assert_close(rkd_distance_loss(change(student), teacher), expected)
        torch.testing.assert_close(rkd_distance_loss(student, change(teacher)), expected)
        assert rkd_distance_loss(change(student), student).item() < 1e-20
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    torch.testing.assert_close(rkd_distance_loss(student[order], teacher[order]), expected)
    assert not torch.isclose(rkd_distance_loss(student[order], teacher), expected)


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


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finite(scale: float) -> None:
    """Finite in every precision, for vectors that are equal, zero, or all but one zero."""
    student, teacher = numbers(4, 6, scale=scale), numbers(4, 3, seed=1, scale=scale)
    zero = torch.zeros_like(student)
    one = torch.cat([student[:1], zero[1:]])
    for mine in (student, zero, one, student[:1].repeat(4, 1), torch.full_like(student, scale)):
        finite_in_any_precision(rkd_distance_loss, mine, teacher)
        finite_in_any_precision(rkd_distance_loss, student, mine)


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


@pytest.mark.parametrize("teacher", [(3, 5), (4, 5, 2), (1, 5)])
def test_shapes(teacher: tuple[int, ...]) -> None:
    """Other images, or no vectors, are refused with both shapes printed; nothing is broadcast."""
    with pytest.raises(InputError, match="rkd_distance") as error:
        rkd_distance_loss(torch.zeros(4, 5), torch.zeros(*teacher))
    assert "[4, 5]" in str(error.value)
    assert str(list(teacher)) in str(error.value)


def test_batch_of_one() -> None:
    """One image has no distances, and the term says so by name."""
    term = RKDDistanceTerm([pair((6,), (8,))])
    with pytest.raises(InputError, match=r"rkd_distance[\s\S]*at least 2"):
        said(term, torch.zeros(1, 6), torch.zeros(1, 8))


@pytest.mark.parametrize(("shape", "places"), [((6, 2, 2), (2, 3)), ((5, 6), (1,)), ((6,), None)])
def test_term(shape: tuple[int, ...], places: tuple[int, ...] | None) -> None:
    """Maps and tokens are compared by their mean over positions."""
    term = RKDDistanceTerm([pair(shape, (8,))])
    assert term.across_batch
    student, teacher = numbers(4, *shape), numbers(4, 8, seed=1)
    mean = student if places is None else student.mean(places)
    torch.testing.assert_close(said(term, student, teacher), rkd_distance_loss(mean, teacher))


def test_build() -> None:
    """Unset points are what the classifiers are given; of several named ones, the sum."""
    networks = [
        NetworkInfo("Net", (), FeaturePoint("fc.input", (6,)), None, {"x": (4, 2, 2), "y": (3,)}),
        NetworkInfo("Net", (), FeaturePoint("head.input", (8,)), None, {"x": (4, 2, 2), "y": (3,)}),
    ]
    ground = BuildContext(*networks, classes=4, images=9)
    term = RKDDistanceTerm.build(RKDDistanceConfig(), ground)
    assert term.needs == Needs(student_points=("fc.input",), teacher_vectors=("head.input",))
    both = RKDDistanceTerm([pair((3,), (3,)), pair((3,), (3,))])
    student, teacher = numbers(4, 3), numbers(4, 3, seed=1)
    torch.testing.assert_close(
        said(both, student, teacher), 2 * rkd_distance_loss(student, teacher)
    )


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
