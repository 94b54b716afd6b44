"""Similarity preserving against plain loops and a closed form, invariances, silent images, torchdistill."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from support.examples import examples
from support.losses.checks import gradcheck, gradient, numbers, pair, term_loss
from support.losses.tester import LossTester, order
from tutelage.config.losses.relation import SPConfig
from tutelage.losses.relation.sp import SPTerm, sp_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo, Stage


def similarities(features: Tensor) -> list[list[float]]:
    rows = features.reshape(len(features), -1).tolist()
    gram = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    lengths = [math.hypot(*row) for row in gram]
    return [[g / n if n else 0.0 for g in row] for row, n in zip(gram, lengths, strict=True)]


def oracle(student: Tensor, teacher: Tensor) -> float:
    mine, theirs = similarities(student), similarities(teacher)
    pairs = [(i, j) for i in range(len(mine)) for j in range(len(mine))]
    return sum((mine[i][j] - theirs[i][j]) ** 2 for i, j in pairs) / len(mine) ** 2


TURN = torch.linalg.qr(numbers(4, 4, seed=2)).Q
LOUDER = torch.tensor([[9.0], [1.0], [1.0], [1.0], [1.0]])


class TestSP(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(sp_loss)
    name = "sp"
    shapes = (((5, 4), (5, 4)),)
    either = (lambda x: 1e3 * x, lambda x: -1e-3 * x, lambda x: x @ TURN)
    unlike = (order, lambda x: x * LOUDER)  # only an image's own row is normalised
    refused = (((4, 5), (3, 5)), ((4, 5), (1, 5)), ((4,), (4,)))


class TestSPOfMaps(TestSP):
    """The same of maps and vectors."""

    shapes = (((4, 3, 4, 4), (4, 2, 3, 3)), ((4, 3, 2, 2), (4, 5)))
    either = (lambda x: 1e3 * x, lambda x: -1e-3 * x)
    unlike = (order,)


def test_gradient_of_unlike_images() -> None:
    """Finite differences agree where images have nothing in common."""
    assert gradcheck(sp_loss, torch.eye(4), numbers(4, 5, seed=1))


@examples(30)
@given(
    count=st.integers(1, 5),
    student=st.sampled_from([(3, 2, 2), (5, 4), (6,), (1, 1, 1)]),
    teacher=st.sampled_from([(2, 3, 3), (4,)]),
    silent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_oracle(
    count: int, student: tuple[int, ...], teacher: tuple[int, ...], silent: bool, seed: int
) -> None:
    """Pair by pair, for maps, tokens and vectors that differ in shape; with a silent image, too."""
    mine, theirs = numbers(count, *student, seed=seed), numbers(count, *teacher, seed=seed + 100)
    if silent:
        mine[0] = 0
    expected = oracle(mine, theirs)
    assert sp_loss(mine, theirs).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_closed_form() -> None:
    """Two alike images against two unlike: rows (1, 1) / sqrt 2 and (1, 0)."""
    found = sp_loss(torch.ones(2, 3), torch.eye(2)).item()
    assert found == pytest.approx(((1 - math.sqrt(0.5)) ** 2 + 0.5) / 2)


def test_silent_image() -> None:
    """An image of zeros has a row of zeros, and a gradient of ordinary size, not 1e12."""
    student, teacher = numbers(4, 3, 2, 2).float(), numbers(4, 3, 2, 2, seed=1).float()
    student[2] = 0
    found = sp_loss(student, teacher).item()
    assert found == pytest.approx(oracle(student, teacher), rel=1e-5)
    assert gradient(sp_loss, student, teacher).abs().max() < 10
    theirs = teacher.clone()
    theirs[2] = 0
    assert gradient(sp_loss, student, theirs).abs().max() < 10


@pytest.mark.parametrize("scale", [1e-6, 1e12])
def test_range(scale: float) -> None:
    """Sums of squares of Gram matrices that do not fit fp32 do fit."""
    student, teacher = numbers(4, 6).float(), numbers(4, 3, seed=1).float()
    expected = sp_loss(student, teacher)
    torch.testing.assert_close(sp_loss(student * scale, teacher * scale), expected)


def test_batch_of_one() -> None:
    """Nothing to compare: 0, and gradient 0."""
    student, teacher = numbers(1, 3, 2, 2), numbers(1, 4, seed=1)
    assert sp_loss(student, teacher).item() == 0
    assert gradient(sp_loss, student, teacher).abs().max() < 1e-12


def test_term() -> None:
    """Built at what the last stages return, of any width and size; the sum over pairs."""
    networks = [
        NetworkInfo("Net", tuple(stages), None, None, {})
        for stages in (
            [
                Stage(p, p, p, None)
                for p in (FeaturePoint("s1", (3, 8, 8)), FeaturePoint("s2", (5, 4, 4)))
            ],
            [
                Stage(p, p, p, None)
                for p in (FeaturePoint("t1", (6, 8, 8)), FeaturePoint("t2", (7, 2, 2)))
            ],
        )
    ]
    term = SPTerm.build(SPConfig(), BuildContext(*networks, classes=4, images=9))
    assert term.needs == Needs(student_points=("s2",), teacher_points=("t2",))
    assert term.across_batch
    both = SPTerm([pair((5, 4, 4), (7, 2, 2))] * 2)
    student, teacher = numbers(4, 5, 4, 4), numbers(4, 7, 2, 2, seed=1)
    expected = 2 * sp_loss(student, teacher)
    torch.testing.assert_close(term_loss(both, student, teacher), expected)


def test_torchdistill(monkeypatch: pytest.MonkeyPatch) -> None:
    """They divide rows by their sum of absolute values (a 1 that should be dim is p), where the paper has
    the Euclidean length. With that put right they agree.
    """
    from torchdistill.losses import mid_level

    theirs = mid_level.SPKDLoss("s", "t", reduction="batchmean")
    student, teacher = numbers(5, 3, 2, 2), numbers(5, 4, 3, 3, seed=1)
    outputs = {"s": {"output": student}}, {"t": {"output": teacher}}
    found = sp_loss(student, teacher)
    assert not torch.isclose(theirs(*outputs), found, rtol=0.1)
    monkeypatch.setattr(mid_level, "normalize", lambda gram, _: F.normalize(gram, p=2.0, dim=1))
    torch.testing.assert_close(theirs(*outputs), found, rtol=1e-6, atol=0)
