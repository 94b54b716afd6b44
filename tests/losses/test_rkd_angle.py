"""RKD angles against plain loops and a closed form, invariances, precision, memory, identical images."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from support.examples import examples
from support.losses.checks import gradcheck, gradient, numbers, pair, term_loss
from support.losses.term_testers import VectorLossTester
from support.losses.tester import order
from tutelage.config.losses.relation import RKDAngleConfig
from tutelage.errors import InputError
from tutelage.losses.distances import relative_distances
from tutelage.losses.relation import rkd_angle
from tutelage.losses.relation.rkd_angle import RKDAngleTerm, rkd_angle_loss


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


TURN = torch.linalg.qr(numbers(4, 4, seed=2)).Q


class TestRKDAngle(VectorLossTester):
    """What holds for every loss that compares vectors."""

    loss = staticmethod(rkd_angle_loss)
    name = "rkd_angle"
    term, config = RKDAngleTerm, RKDAngleConfig
    least = 3
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
            assert rkd_angle_loss(change(student), student).item() < 1e-20


def test_gradient_of_large_differences() -> None:
    """Finite differences agree, also where differences are beyond 1, and between other widths."""
    assert gradcheck(rkd_angle_loss, numbers(4, 1), numbers(4, 1, seed=1))
    assert gradcheck(rkd_angle_loss, numbers(5, 3), numbers(5, 4, seed=1))


@examples(30)
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


@pytest.mark.parametrize("images", [1, 3, 24])
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


@pytest.mark.parametrize("count", [1, 2])
def test_small_batch(count: int) -> None:
    """Fewer than three images have no angle, and the term says so by name."""
    term = RKDAngleTerm([pair((6,), (8,))])
    with pytest.raises(InputError, match=r"rkd_angle[\s\S]*at least 3"):
        term_loss(term, torch.zeros(count, 6), torch.zeros(count, 8))


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
