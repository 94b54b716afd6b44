"""Multi-level logits against plain loops, its invariances, its limits, its refusals, its term."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from support.losses.checks import numbers
from support.losses.logit_tester import EXACT, TEMPERATURES, LogitLossTester, softmax
from tutelage.config.losses.response import MLKDConfig
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.mlkd import MLKDTerm, mlkd_loss


def products(rows: list[list[float]]) -> list[float]:
    """The inner product of every row with every row."""
    return [math.fsum(a * b for a, b in zip(x, y, strict=True)) for x in rows for y in rows]


def slow_levels(student: Tensor, teacher: Tensor, temperature: float) -> list[float]:
    """The formula of the docstring at one temperature, number by number: image, batch, class."""
    q = [softmax([value / temperature for value in row]) for row in student.tolist()]
    p = [softmax([value / temperature for value in row]) for row in teacher.tolist()]
    batch_images = math.fsum(
        a * math.log(a / b) for x, y in zip(p, q, strict=True) for a, b in zip(x, y, strict=True)
    )
    levels = [temperature**2 * batch_images / len(q)]
    for mine, theirs in ((q, p), (list(zip(*q, strict=True)), list(zip(*p, strict=True)))):
        pairs = zip(products(mine), products(theirs), strict=True)
        levels.append(math.fsum((a - b) ** 2 for a, b in pairs) / len(mine))
    return levels


def slow_mlkd(student: Tensor, teacher: Tensor, temperatures: Sequence[float]) -> float:
    """The sum over levels and temperatures."""
    return math.fsum(itertools.chain(*(slow_levels(student, teacher, t) for t in temperatures)))


class TestMLKD(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(mlkd_loss)
    slow = staticmethod(slow_mlkd)
    term, config = MLKDTerm, MLKDConfig
    across_batch = True
    drawn = {
        "temperatures": st.lists(st.sampled_from([0.5, 1.0, 4.0, 20.0]), min_size=1, max_size=3)
    }
    lowest = -1e-12
    defaults = {"temperatures": (2.0, 3.0, 4.0, 5.0, 6.0)}
    settings = {"temperatures": (1.0, 7.0)}
    options = ({}, {"temperatures": (1.0,)}, {"temperatures": (2.0, 4.0)})
    unchanged = EXACT - {"copies"}  # more images have more relations
    extreme_options = tuple({"temperatures": (t, 2.0)} for t in TEMPERATURES)
    wrong = tuple(
        {"temperatures": some} for some in ((), (2.0, 0.0), (-1.0,), (math.inf,), (math.nan, 1.0))
    )


@pytest.mark.parametrize("level", [1, 2])
def test_every_level_counts(level: int) -> None:
    """Batch and classes are a real share of what the oracle finds, so that it would miss them."""
    student, teacher = numbers(5, 4, scale=2), numbers(5, 4, seed=1, scale=2)
    assert slow_levels(student, teacher, 1.0)[level] > 0.05


def test_temperatures_are_summed() -> None:
    """By default 2 to 6; each adds its own loss, and a temperature given twice counts twice."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    single = [mlkd_loss(student, teacher, temperatures=[t]) for t in (2.0, 3.0, 4.0, 5.0, 6.0)]
    torch.testing.assert_close(mlkd_loss(student, teacher), torch.stack(single).sum())
    assert MLKDConfig().temperatures == (2.0, 3.0, 4.0, 5.0, 6.0)
    twice = mlkd_loss(student, teacher, temperatures=(3.0, 3.0))
    torch.testing.assert_close(twice, 2 * single[1])


def test_permuted_images() -> None:
    """Students that give the teacher's rows in another order: classes relate alike, images do not."""
    teacher = numbers(3, 5)
    student = teacher.roll(1, 0)
    found = mlkd_loss(student, teacher, temperatures=[1.0])
    batch_images, batch, classes = slow_levels(student, teacher, 1.0)
    assert classes < 1e-15 < 1e-3 < batch
    assert found.item() == pytest.approx(batch_images + batch, rel=1e-12)


def test_permuted_classes() -> None:
    """Students that call every class by another's name: images relate alike, classes do not."""
    teacher = numbers(3, 5)
    student = teacher.roll(1, 1)
    found = mlkd_loss(student, teacher, temperatures=[1.0])
    batch_images, batch, classes = slow_levels(student, teacher, 1.0)
    assert batch < 1e-15 < 1e-3 < classes
    assert found.item() == pytest.approx(batch_images + classes, rel=1e-12)


def test_near_the_teacher() -> None:
    """In fp32 small differences are not lost in those of large sums."""
    teacher = numbers(6, 5, scale=3)
    student = teacher + 1e-3 * numbers(6, 5, seed=1)

    def relations(s: Tensor, t: Tensor) -> float:
        kd = kd_loss(s, t, temperature=1.0)
        return (mlkd_loss(s, t, temperatures=[1.0]) - kd).item()

    # The inputs themselves are rounded by 1e-7, which is 1e-4 of their difference.
    expected = relations(student.float().double(), teacher.float().double())
    assert relations(student.float(), teacher.float()) == pytest.approx(expected, rel=2e-2)
