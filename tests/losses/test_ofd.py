"""Overhaul: margins against an integral, the distance against plain loops, which norms are taken, errors."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from support.losses.checks import gradcheck, gradient, numbers, pair, spares_the_teacher
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, Shape
from tutelage.config.losses.feature import OFDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature.ofd import OFDTerm, negative_means, ofd_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput

MARGIN = torch.tensor([-0.3, -1.0, -0.01], dtype=torch.float64)


def loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Take the margins of three channels."""
    return ofd_loss(student, teacher, MARGIN)


class TestOFD(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(loss)
    name = "ofd"
    shapes = (((2, 3, 4, 4), (2, 3, 4, 4)),)
    equality = None  # a target below the margin is not asked for
    one_image = 0.25  # its gradient of 1e5 would itself be more than float16 holds
    refused = (((2, 3, 4, 4), (2, 1, 4, 4)),)


class TestOFDTerm(AdapterTermTester):
    """What holds for every term with adapters."""

    term = OFDTerm
    name = "ofd"
    meets = (((6, 4, 4), (8, 2, 2)), ((6, 2, 2), (8, 4, 4)), ((17, 6), (8, 4, 4)))
    refused_points = ((1, (6, 1, 1), (8, 1, 1)), (2, (6,), (8,)))

    def make(self, student: Shape, teacher: Shape) -> OFDTerm:
        """Add the norm of the teacher's stage."""
        return OFDTerm([pair(student, teacher)], [norm(8)])

    def test_margins_are_no_state(self) -> None:
        """They follow from the teacher."""
        assert not any("margin" in name for name in self.make(*self.meets[0]).state_dict())


def integral(weight: float, bias: float, steps: int = 20_000) -> float:
    """E[x | x < 0] of a normal number with mean `bias`, as a sum over many thin slices."""
    low = bias - 12 * abs(weight)
    width = (min(0.0, bias + 12 * abs(weight)) - low) / steps
    points = [low + (i + 0.5) * width for i in range(steps)]
    density = [math.exp(-(((x - bias) / weight) ** 2) / 2) for x in points]
    return sum(x * d for x, d in zip(points, density, strict=True)) / sum(density)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [(1, 0), (0.5, 0.7), (2, -3), (-1.5, 0.4), (1e-3, 2e-3), (1, 3.09), (0.1, -40), (3, -1e-4)],
)
def test_margin(weight: float, bias: float) -> None:
    """The mean of the negative part of the normal distribution; the sign of the weight does not matter."""
    found = negative_means(torch.tensor([float(weight)]), torch.tensor([float(bias)])).item()
    assert found == pytest.approx(integral(weight, bias), rel=1e-6)


def test_margin_where_negatives_are_rare() -> None:
    """Below a share of 1 in 1000 (b / s above 3.0902) the margin is three deviations."""
    weight = torch.tensor([1.0, 1.0, -2.0, 0.5, 1.0], dtype=torch.float64)
    bias = torch.tensor([3.0902, 3.0903, 7.0, 1e4, 1e30], dtype=torch.float64)
    found = negative_means(weight, bias)
    assert found[0].item() > -1
    assert found[1:].tolist() == [-3.0, -6.0, -1.5, -3.0]


@pytest.mark.parametrize("weight", [0.0, 1e-38, 1e-300])
def test_margin_of_a_constant_channel(weight: float) -> None:
    """A channel without deviation is its bias; the margin is that where it is negative, else 0."""
    bias = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    found = negative_means(torch.full((3,), weight, dtype=torch.float64), bias)
    torch.testing.assert_close(found, torch.tensor([-2.0, 0, 0], dtype=torch.float64))


def test_margin_far_out() -> None:
    """Finite and at most 0 wherever half or single precision can be."""
    values = [-6e4, -50.0, -1.0, -1e-7, 0.0, 1e-7, 1.0, 50.0, 6e4]
    pairs = torch.tensor(list(itertools.product(values, values)))
    found = negative_means(pairs[:, 0], pairs[:, 1])
    assert found.dtype == torch.float64
    assert torch.isfinite(found).all()
    assert (found <= 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (1, 3, 3, 1), (4, 3, 1, 1)])
def test_oracle(shape: tuple[int, ...]) -> None:
    """Number by number: nothing where both are below 0 and the student is lower, else the square."""
    student, teacher = numbers(*shape), numbers(*shape, seed=1)
    expected = 0.0
    for b, c, y, x in itertools.product(*(range(n) for n in shape)):
        goal = max(teacher[b, c, y, x].item(), MARGIN[c].item())
        mine = student[b, c, y, x].item()
        if not (mine <= goal <= 0):
            expected += (mine - goal) ** 2
    assert loss(student, teacher).item() == pytest.approx(expected / shape[0], rel=1e-12)


def test_cases() -> None:
    """One number at a time, margin -1: which targets count."""
    margin = torch.tensor([-1.0], dtype=torch.float64)
    cases = [  # student, teacher, loss
        (-5.0, -3.0, 0.0),  # both below the margin
        (-0.5, -3.0, 0.25),  # above the margin, which is the target
        (-0.9, -0.5, 0.0),  # below a target that the ReLU cuts
        (-0.2, -0.5, 0.09),  # above it
        (-0.2, 0.3, 0.25),  # a positive target always counts
        (0.5, 0.3, 0.04),
        (0.5, -2.0, 2.25),
        (-1.0, 0.0, 0.0),  # 0 is not positive
    ]
    for student, teacher, expected in cases:
        s, t = (torch.full((1, 1, 1, 1), v, dtype=torch.float64) for v in (student, teacher))
        assert ofd_loss(s, t, margin).item() == pytest.approx(expected, abs=1e-12), (
            student,
            teacher,
        )


def test_gradient() -> None:
    """Finite differences agree; the gradient is 2 (r - g) / B where the number counts, and 0 elsewhere."""
    student, teacher = numbers(3, 3, 2, 2), numbers(3, 3, 2, 2, seed=1)
    assert gradcheck(loss, student, teacher)
    target = torch.maximum(teacher, MARGIN[:, None, None])
    free = (student <= target) & (target <= 0)
    found = gradient(loss, student, teacher)
    assert free.any()
    assert found[free].abs().max() == 0
    torch.testing.assert_close(found[~free], 2 * (student - target)[~free] / 3)
    spares_the_teacher(loss, student, teacher)


def test_invariances() -> None:
    """0 where the student is the target; below the margin neither network's numbers matter."""
    student, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    target = torch.maximum(teacher, MARGIN[:, None, None])
    assert loss(target, teacher).item() == 0
    assert loss(teacher, teacher).item() == 0
    expected = loss(student, teacher)
    low = MARGIN[:, None, None]
    lower = torch.where(teacher < low, teacher - 7, teacher)
    assert (lower != teacher).any()
    torch.testing.assert_close(loss(student, lower), expected)
    lower = torch.where((student < low) & (teacher <= 0), student - 7, student)
    assert (lower != student).any()
    torch.testing.assert_close(loss(lower, teacher), expected)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss(student[order], teacher[order]), expected)


@pytest.mark.parametrize(
    ("student", "teacher", "margin"),
    [
        ((2, 3, 4, 4), (2, 1, 4, 4), 3),
        ((2, 3, 4, 4), (2, 3, 4, 4), 1),
        ((2, 3, 4, 4), (2, 3, 4, 4), 4),
        ((2, 3), (2, 3), 3),
    ],
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...], margin: int) -> None:
    """Features of two shapes, other margins than channels, and vectors are refused; nothing is broadcast."""
    with pytest.raises(InputError, match=r"\[2, 3.*\[\d"):
        ofd_loss(torch.zeros(student), torch.zeros(teacher), torch.zeros(margin))


def norm(channels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return numbers(channels, seed=seed).float(), numbers(channels, seed=seed + 1).float()


def anatomy(family: str, *stages: tuple[str, int, tuple[Tensor, Tensor] | None]) -> NetworkInfo:
    """A network of stages (path, channels, norm), each half as large as the one before."""
    made, shapes = [], {}
    for i, (path, channels, own) in enumerate(stages):
        shape = (channels, 4 >> i, 4 >> i)
        ends = [FeaturePoint(path + part, shape) for part in (".entry", ".before", ".end")]
        shapes.update({point.path: shape for point in ends})
        made.append(Stage(*ends, own))
    return NetworkInfo(family, tuple(made), None, None, shapes)


def ground() -> BuildContext:
    student = anatomy("Small", ("s0", 2, None), ("s1", 5, None))
    teacher = anatomy("Large", ("t0", 3, norm(3)), ("t1", 4, norm(4, seed=5)))
    return BuildContext(student, teacher, classes=4, images=10)


def test_build() -> None:
    """The points before the activation, and the margins of the teacher's own BatchNorms."""
    term = OFDTerm.build(OFDConfig(), ground())
    assert term.needs == Needs(
        student_points=("s0.before", "s1.before"), teacher_points=("t0.before", "t1.before")
    )
    assert not term.across_batch
    torch.testing.assert_close(term.get_buffer("margin0"), negative_means(*norm(3)).float())
    torch.testing.assert_close(term.get_buffer("margin1"), negative_means(*norm(4, seed=5)).float())


def test_build_with_named_points() -> None:
    """A named point finds the norm of its own stage, whatever its place among the points."""
    settings = OFDConfig(student_points=("s0.end",), teacher_points=("t1.before",))
    term = OFDTerm.build(settings, ground())
    torch.testing.assert_close(term.get_buffer("margin0"), negative_means(*norm(4, seed=5)).float())


def test_points_without_a_norm() -> None:
    """A stage without BatchNorm, and a point that is the end of no stage, are refused by name."""
    found = ground()
    teacher = anatomy("Plain", ("t0", 3, norm(3)), ("t1", 4, None))
    with pytest.raises(UsageError, match=r"losses\.ofd.*BatchNorm.*t1\.before(.|\n)*Plain"):
        OFDTerm.build(OFDConfig(), found._replace(teacher=teacher))
    settings = OFDConfig(student_points=("s0.end",), teacher_points=("t1.end",))
    with pytest.raises(UsageError, match=r"losses\.ofd.*t1\.end belongs to none(.|\n)*t0\.before"):
        OFDTerm.build(settings, found)
    with pytest.raises(UsageError, match="no point"):
        OFDTerm.build(replace(settings, teacher_points=("nowhere",)), found)


def test_stage_weights() -> None:
    """Each stage counts half as much as the next deeper one."""
    term = OFDTerm.build(OFDConfig(), ground())
    shapes = {"s0.before": (2, 4, 4), "s1.before": (5, 2, 2)}
    mine = {path: numbers(3, *shape).float() for path, shape in shapes.items()}
    shapes = {"t0.before": (3, 4, 4), "t1.before": (4, 2, 2)}
    theirs = {path: numbers(3, *shape, seed=1).float() for path, shape in shapes.items()}
    found = term(ModelOutput(torch.zeros(3, 4), mine), TeacherOutput(None, theirs), None, START)
    parts = [
        ofd_loss(term.adapters[i](mine[f"s{i}.before"]), theirs[f"t{i}.before"], margin).item()
        for i, margin in enumerate((term.get_buffer("margin0"), term.get_buffer("margin1")))
    ]
    assert found.item() == pytest.approx(parts[0] / 2 + parts[1], rel=1e-5)
