"""SimKD's distance against plain loops and a closed form, its invariances, its term, its refusals."""

import itertools

import pytest
import torch
from proving import (
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    pair,
    said,
    spares_the_teacher,
)
from torch.nn.functional import adaptive_avg_pool2d

from tutelage.config.losses.feature import SimKDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature.simkd import SimKDTerm, simkd_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo, Stage


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1)])
def test_oracle(shape: tuple[int, ...]) -> None:
    """The mean of squared differences, number by number."""
    student, teacher = numbers(*shape), numbers(*shape, seed=1)
    flat = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    expected = sum((s - t) ** 2 for s, t in flat) / student.numel()
    assert simkd_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_gradient() -> None:
    """Finite differences agree, and so does the closed form 2 (P - t) / n."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    assert gradcheck(simkd_loss, student, teacher)
    expected = 2 * (student - teacher) / student.numel()
    torch.testing.assert_close(gradient(simkd_loss, student, teacher), expected)
    spares_the_teacher(simkd_loss, student, teacher)


def test_invariances() -> None:
    """0 at equality; the order of images and channels, and a common shift, do not matter."""
    student, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    assert simkd_loss(student, student).item() == 0
    expected = simkd_loss(student, teacher)
    for change in (lambda x: x.flip(0), lambda x: x.roll(1, 1), lambda x: x + 5):
        torch.testing.assert_close(simkd_loss(change(student), change(teacher)), expected)
    torch.testing.assert_close(simkd_loss(3 * student, 3 * teacher), 9 * expected)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finite(scale: float) -> None:
    """Finite in every precision; squares of 1e4 do not fit float16."""
    maps = numbers(2, 3, 4, 4, scale=scale), numbers(2, 3, 4, 4, seed=1, scale=scale)
    zero, constant = torch.zeros_like(maps[0]), torch.full_like(maps[0], scale)
    for mine, theirs in itertools.product((*maps, zero, constant), repeat=2):
        finite_in_any_precision(simkd_loss, mine, theirs)


def test_shapes() -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"simkd(.|\n)*\[2, 3, 4, 4\].*\[2, 1, 4, 4\]"):
        simkd_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((6, 4, 4), (6, 2, 2)), ((6, 2, 2), (6, 4, 4)), ((17, 6), (6, 4, 4)), ((6, 1, 1), (6, 1, 1))],
)
def test_term(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Maps of other sizes and tokens meet; it learns nothing of its own; one image is enough."""
    term = SimKDTerm([pair(student, teacher)])
    assert not list(term.parameters())
    assert not term.across_batch
    assert term.needs == Needs(student_points=("a",), teacher_points=("b",))
    mine = numbers(1, *student).requires_grad_()
    torch.autograd.backward(said(term, mine, numbers(1, *teacher, seed=1)))
    assert mine.grad is not None
    assert mine.grad.abs().max() > 0


def test_larger_maps_are_pooled() -> None:
    """To the smaller height and width, by means; several points are added up."""
    mine, theirs = numbers(3, 6, 4, 4), numbers(3, 6, 2, 2, seed=1)
    expected = simkd_loss(adaptive_avg_pool2d(mine, 2), theirs)
    one = pair((6, 4, 4), (6, 2, 2))
    torch.testing.assert_close(said(SimKDTerm([one]), mine, theirs), expected)
    torch.testing.assert_close(said(SimKDTerm([one, one]), mine, theirs), 2 * expected)
    turned = pair((6, 2, 2), (6, 4, 4))
    torch.testing.assert_close(said(SimKDTerm([turned]), theirs, mine), expected)


def test_build() -> None:
    """The last stages of both networks."""
    stages = [Stage(*(FeaturePoint(path, (3, 4, 4)),) * 3, None) for path in ("one", "two")]
    net = NetworkInfo("Net", tuple(stages), None, None, {"one": (3, 4, 4), "two": (3, 4, 4)})
    term = SimKDTerm.build(SimKDConfig(reduction=4), BuildContext(net, net, classes=4, images=9))
    assert term.reduction == 4
    assert term.needs == Needs(student_points=("two",), teacher_points=("two",))


def test_other_channels() -> None:
    """Without a projector to the teacher's channels there is nothing to compare."""
    with pytest.raises(UsageError, match=r"simkd(.|\n)*\[5, 4, 4\](.|\n)*\[6, 4, 4\]"):
        SimKDTerm([pair((5, 4, 4), (6, 4, 4))])


@pytest.mark.parametrize("shape", [(8,), (15, 8)])
def test_refused_features(shape: tuple[int, ...]) -> None:
    """Vectors, and tokens without a square, are no maps, and the term says so by name."""
    term = SimKDTerm([pair(shape, (8, 4, 4))])
    with pytest.raises(InputError, match="simkd compares maps"):
        said(term, torch.zeros(2, *shape), torch.zeros(2, 8, 4, 4))
