"""Attention transfer against plain loops and other software, its invariances, its limits, its refusals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from support.losses.checks import (
    finite_in_any_precision,
    gradient,
    numbers,
    pair,
)
from support.losses.term_testers import MapTermTester
from support.losses.tester import LossTester, channels, order, places
from tutelage.config.losses.feature import ATConfig
from tutelage.errors import UsageError
from tutelage.losses.feature.at import ATTerm, at_loss

POWERS = [0.5, 1.0, 2.0, 3.0, 4.0]


def slow_attention(features: Tensor, power: float) -> list[list[float]]:
    """The attention map of each image, place by place."""
    found = []
    for image in features.tolist():
        height, width = len(image[0]), len(image[0][0])
        energy = [
            sum(abs(channel[h][w]) ** power for channel in image) / len(image)
            for h in range(height)
            for w in range(width)
        ]
        length = math.sqrt(math.fsum(value**2 for value in energy))
        found.append([value / length for value in energy])
    return found


def slow(student: Tensor, teacher: Tensor, power: float) -> float:
    """The formula of the docstring, number by number."""
    squares = [
        (s - t) ** 2
        for mine, theirs in zip(
            slow_attention(student, power), slow_attention(teacher, power), strict=True
        )
        for s, t in zip(mine, theirs, strict=True)
    ]
    return math.fsum(squares) / len(squares)


SIZES = torch.tensor([1e-3, 1.0, 7.0, 1e3], dtype=torch.float64)[:, None, None, None]


class TestATTerm(MapTermTester):
    """What holds for every term on maps."""

    loss = staticmethod(at_loss)
    term, config = ATTerm, ATConfig
    settings = {"power": 3.0}


class TestAT(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(at_loss)
    name = "at"
    options = tuple({"power": power} for power in POWERS)
    shapes = (((4, 3, 2, 3), (4, 5, 2, 3)),)
    scales = (1.0,)  # others below
    positive = True
    both = (order, places)
    student = (lambda x: SIZES * x, torch.neg, channels, lambda x: torch.cat([x, x], 1))
    unlike = (places,)
    refused = tuple(
        ((2, 3, 4, 4), shape) for shape in ((2, 3, 4, 2), (1, 3, 4, 4), (2, 3, 16), (2, 48))
    )


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    other=st.integers(1, 5),
    power=st.sampled_from(POWERS),
    seed=st.integers(0, 99),
)
@examples(40)
def test_oracle(shape: tuple[int, int, int, int], other: int, power: float, seed: int) -> None:
    """The loss equals plain loops, for channels that differ in number and for every power."""
    student = numbers(*shape, seed=seed)
    teacher = numbers(shape[0], other, *shape[2:], seed=seed + 100)
    found = at_loss(student, teacher, power=power).item()
    assert found == pytest.approx(slow(student, teacher, power), rel=1e-9, abs=1e-14)


def test_closed_form() -> None:
    """All energy in one of four places against all in another: (1 + 1) / 4; all in the same: 0."""
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 3, 2, 2)
    student[0, 1, 0, 0] = 3.0
    teacher[0, 2, 1, 1] = -5.0
    assert at_loss(student, teacher).item() == pytest.approx(0.5)
    teacher[0, 2] = teacher[0, 2].flip((0, 1))
    assert at_loss(student, teacher).item() == 0


@pytest.mark.parametrize("power", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_extremes(scale: float, power: float) -> None:
    """Tiny and huge features have the same attention, although (1e4)^8 does not fit fp32's squares."""
    student, teacher = numbers(2, 3, 4, 4), numbers(2, 3, 4, 4, seed=1)

    def loss(s: Tensor, t: Tensor) -> Tensor:
        return at_loss(s, t, power=power)

    finite_in_any_precision(loss, scale * student, scale * teacher)
    found = loss((scale * student).float(), (scale * teacher).float())
    torch.testing.assert_close(found, loss(student, teacher).float())


def test_zeros() -> None:
    """A map of zeros has no attention and gets no gradient: the loss is the mean square of the other's."""
    dark, teacher = torch.zeros(2, 3, 2, 2), numbers(2, 3, 2, 2).float()
    assert at_loss(dark, teacher).item() == pytest.approx(1 / 4)
    for power in POWERS:
        loss = gradient(lambda s, t, p=power: at_loss(s, t, power=p), dark, teacher)
        assert loss.abs().max() == 0


def test_refusals() -> None:
    """A power that is not a finite number above 0 is refused, by function and term."""
    for power in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="power"):
            at_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), power=power)
        with pytest.raises(UsageError, match="power"):
            ATTerm([pair((1, 2, 2), (1, 2, 2))], ATConfig(power=power))


def test_other_software() -> None:
    """As torchdistill in its mode "code"; the square of what it says in its mode "paper"."""
    from torchdistill.losses.mid_level import ATLoss

    student, teacher = numbers(3, 4, 5, 5), numbers(3, 6, 5, 5, seed=1)
    where = {"io": "output", "path": "x"}
    pairs = {"one": {"student": where, "teacher": where}}
    said_there = {"x": {"output": student}}, {"x": {"output": teacher}}
    found = at_loss(student, teacher)
    torch.testing.assert_close(found, ATLoss(pairs, mode="code")(*said_there), rtol=1e-6, atol=0)
    # The paper's form is a norm: of one image, ours is its square over the places.
    first = {"x": {"output": student[:1]}}, {"x": {"output": teacher[:1]}}
    norm = ATLoss(pairs, mode="paper")(*first)
    torch.testing.assert_close(at_loss(student[:1], teacher[:1]), norm**2 / 25)
