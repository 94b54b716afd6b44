"""RKD angles against plain loops and a closed form, invariances, precision, memory, identical images."""

import math
from typing import Any

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
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.config.losses.relation import RKDAngleConfig
from tutelage.errors import InputError
from tutelage.losses.distances import relative_distances
from tutelage.losses.relation import rkd_angle
from tutelage.losses.relation.rkd_angle import RKDAngleTerm, rkd_angle_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo


def cosine(x: list[float], at: list[float], y: list[float]) -> float:
    first = [a - b for a, b in zip(x, at, strict=True)]
    second = [a - b for a, b in zip(y, at, strict=True)]
    lengths = math.hypot(*first) * math.hypot(*second)
    return sum(a * b for a, b in zip(first, second, strict=True)) / lengths if lengths else 0.0


def oracle(student: Tensor, teacher: Tensor) -> float:
    mine, theirs = student.double().tolist(), teacher.double().tolist()
    places = range(len(mine))
    total = 0.0
    for j in places:
        for i in places:
            for k in places:
                a = abs(cosine(mine[i], mine[j], mine[k]) - cosine(theirs[i], theirs[j], theirs[k]))
                total += a**2 / 2 if a < 1 else a - 0.5
    return total / len(mine) ** 3


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(3, 6),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_oracle(count: int, widths: tuple[int, int], seed: int) -> None:
    """Triple by triple, with widths that differ, from vectors and not from sides (1e-5 apart lose digits)."""
    student = numbers(count, widths[0], seed=seed)
    teacher = numbers(count, widths[1], seed=seed + 100)
    expected = oracle(student, teacher)
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_closed_form() -> None:
    """A right angle with two of 45 degrees, against three of 60; each angle stands twice among 27."""
    student = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    teacher = torch.eye(3)
    expected = 2 * (0.5**2 / 2 + 2 * (math.sqrt(0.5) - 0.5) ** 2 / 2) / 27
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(expected)


def test_gradient() -> None:
    """Finite differences agree, also for differences beyond 1 and several blocks; the teacher gets none."""
    student, teacher = numbers(5, 3), numbers(5, 4, seed=1)
    assert gradcheck(rkd_angle_loss, student, teacher)
    assert gradcheck(rkd_angle_loss, numbers(4, 1), numbers(4, 1, seed=1))
    spares_the_teacher(rkd_angle_loss, student, teacher)


def test_invariances() -> None:
    """0 at equality; a translation, rotation or scale of one network's vectors changes nothing."""
    student, teacher = numbers(6, 4), numbers(6, 4, seed=1)
    assert rkd_angle_loss(student, student).item() == 0
    expected = rkd_angle_loss(student, teacher)
    rotation = torch.linalg.qr(numbers(4, 4, seed=2)).Q
    for change in (
        lambda x: x + numbers(4, seed=3),
        lambda x: x @ rotation,
        lambda x: 1e3 * x,
        lambda x: -1e-3 * x,
        lambda x: torch.cat([x, torch.ones(6, 2, dtype=x.dtype)], 1),
    ):
        torch.testing.assert_close(rkd_angle_loss(change(student), teacher), expected)
        torch.testing.assert_close(rkd_angle_loss(student, change(teacher)), expected)
        assert rkd_angle_loss(change(student), student).item() < 1e-20
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    torch.testing.assert_close(rkd_angle_loss(student[order], teacher[order]), expected)
    assert not torch.isclose(rkd_angle_loss(student[order], teacher), expected)


@pytest.mark.parametrize(("offset", "spread"), [(1e3, 1.0), (1e6, 1.0), (0.0, 1e-3), (300.0, 0.01)])
def test_precision(offset: float, spread: float) -> None:
    """In fp32, a common offset or tight clusters cost next to nothing: inner products would be lost."""
    centres = numbers(3, 8, seed=5).repeat_interleave(4, 0)
    student = (offset + centres + spread * numbers(12, 8)).float()
    teacher = (centres + numbers(12, 8, seed=1)).float()
    found = rkd_angle_loss(student, teacher)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(oracle(student, teacher), rel=1e-5)
    exact = gradient(rkd_angle_loss, student.double(), teacher.double())
    wrong = (gradient(rkd_angle_loss, student, teacher) - exact).abs().max()
    assert wrong < 1e-4 * exact.abs().max()


def test_cosines_of_near_images() -> None:
    """The worst angles, at an image very near one and far from another, keep 4 digits in fp32."""
    student = numbers(6, 8).float()
    student[3:] = student[:3] + 1e-3 * numbers(3, 8, seed=1).float()
    at = slice(0, 6)
    found = rkd_angle._cosines(relative_distances(student).float(), at)
    rows = student.double().tolist()
    exact = torch.tensor([[[cosine(i, j, k) for k in rows] for i in rows] for j in rows])
    assert (found - exact).abs().max() < 1e-3
    for j in range(6):
        assert found[j].diagonal().sum().item() == pytest.approx(5, abs=1e-3)
        assert (found[j, j] == 0).all()
        assert (found[j, :, j] == 0).all()


def test_identical_images() -> None:
    """Twins form no angle with each other, feel no force between them, and give no NaN."""
    student, teacher = numbers(5, 3).float(), numbers(5, 3, seed=1).float()
    student[1] = student[0]
    found = rkd_angle_loss(student, teacher).item()
    assert found == pytest.approx(oracle(student, teacher), rel=1e-6)
    slope = gradient(rkd_angle_loss, student, teacher)
    assert torch.isfinite(slope).all()
    assert slope.abs().max() < 1
    assert (gradient(rkd_angle_loss, student[:1].repeat(4, 1), teacher[:4]) == 0).all()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finite(scale: float) -> None:
    """Finite in every precision, for vectors that are equal, zero, or all but one zero."""
    student, teacher = numbers(4, 6, scale=scale), numbers(4, 3, seed=1, scale=scale)
    zero = torch.zeros_like(student)
    one = torch.cat([student[:1], zero[1:]])
    for mine in (student, zero, one, student[:1].repeat(4, 1), torch.full_like(student, scale)):
        finite_in_any_precision(rkd_angle_loss, mine, teacher)
        finite_in_any_precision(rkd_angle_loss, student, mine)


def test_huge() -> None:
    """Squares that do not fit fp32 do fit."""
    student, teacher = numbers(4, 6).float(), numbers(4, 3, seed=1).float()
    expected = rkd_angle_loss(student, teacher)
    torch.testing.assert_close(rkd_angle_loss(student * 1e30, teacher * 1e-30), expected)


def test_nan_shows() -> None:
    """A NaN is no identical image: it must stop the training."""
    student = numbers(4, 3)
    student[1, 1] = math.nan
    assert rkd_angle_loss(student, numbers(4, 3)).isnan()


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor has that any operation returns."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for item in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(item, Tensor):
                self.numbers = max(self.numbers, item.numel())
        return found


@pytest.mark.parametrize("pictures", [1, 3, 24])
def test_blocks(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Angles of a few images at a time: value and gradient stay, and no larger tensor is ever made."""
    student, teacher = numbers(24, 40), numbers(24, 40, seed=1)
    expected = rkd_angle_loss(student, teacher), gradient(rkd_angle_loss, student, teacher)
    monkeypatch.setattr(rkd_angle, "BLOCK", images * 24 * 24)
    with Largest() as largest:
        found = rkd_angle_loss(student, teacher), gradient(rkd_angle_loss, student, teacher)
    torch.testing.assert_close(found, expected)
    assert largest.numbers <= max(images * 24 * 24, 24 * 40)


def test_blocks_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the gradient is a few B x B and B x D, and no B x B x B."""
    monkeypatch.setattr(rkd_angle, "BLOCK", 2 * 24 * 24)
    student = numbers(24, 40).requires_grad_()
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        rkd_angle_loss(student, numbers(24, 40, seed=1))
    assert 0 < sum(kept.values()) < 24**3


@pytest.mark.parametrize("teacher", [(3, 5), (4, 5, 2), (1, 5)])
def test_shapes(teacher: tuple[int, ...]) -> None:
    """Other images, or no vectors, are refused with both shapes printed; nothing is broadcast."""
    with pytest.raises(InputError, match="rkd_angle") as error:
        rkd_angle_loss(torch.zeros(4, 5), torch.zeros(*teacher))
    assert "[4, 5]" in str(error.value)
    assert str(list(teacher)) in str(error.value)


@pytest.mark.parametrize("count", [1, 2])
def test_small_batch(count: int) -> None:
    """Fewer than three images have no angle, and the term says so by name."""
    term = RKDAngleTerm([pair((6,), (8,))])
    with pytest.raises(InputError, match=r"rkd_angle[\s\S]*at least 3"):
        said(term, torch.zeros(count, 6), torch.zeros(count, 8))


@pytest.mark.parametrize(("shape", "places"), [((6, 2, 2), (2, 3)), ((5, 6), (1,)), ((6,), None)])
def test_term(shape: tuple[int, ...], places: tuple[int, ...] | None) -> None:
    """Maps and tokens are compared by their mean over positions."""
    term = RKDAngleTerm([pair(shape, (8,))])
    assert term.across_batch
    student, teacher = numbers(4, *shape), numbers(4, 8, seed=1)
    mean = student if places is None else student.mean(places)
    torch.testing.assert_close(said(term, student, teacher), rkd_angle_loss(mean, teacher))


def test_build() -> None:
    """Unset points are what the classifiers are given; of several named ones, the sum."""
    networks = [
        NetworkInfo("Net", (), FeaturePoint("fc.input", (6,)), None, {}),
        NetworkInfo("Net", (), FeaturePoint("head.input", (8,)), None, {}),
    ]
    term = RKDAngleTerm.build(RKDAngleConfig(), BuildContext(*networks, classes=4, images=9))
    assert term.needs == Needs(student_points=("fc.input",), teacher_vectors=("head.input",))
    both = RKDAngleTerm([pair((3,), (3,)), pair((3,), (3,))])
    student, teacher = numbers(4, 3), numbers(4, 3, seed=1)
    torch.testing.assert_close(said(both, student, teacher), 2 * rkd_angle_loss(student, teacher))


def test_torchdistill() -> None:
    """They agree, also with twins."""
    from torchdistill.losses.mid_level import RKDLoss

    theirs = RKDLoss("s", "t", dist_factor=0.0, angle_factor=1.0, reduction="mean")
    student, teacher = numbers(7, 5), numbers(7, 3, seed=1)
    for _ in range(2):
        found = rkd_angle_loss(student, teacher)
        expected = theirs.compute_rkd_angle_loss(teacher, student)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        student[1] = student[0]
