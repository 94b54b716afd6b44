"""SimKD's distance against plain loops and a closed form, its invariances, its term, its refusals."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from support.losses.checks import gradient, numbers, pair, term_loss
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, add_five, channels, order, squares
from tutelage.config.losses.feature import SimKDConfig
from tutelage.errors import UsageError
from tutelage.losses.feature.simkd import SimKDTerm, simkd_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo, Stage


class TestSimKD(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(simkd_loss)
    slow = staticmethod(squares)
    name = "simkd"
    shapes = tuple(
        (shape, shape) for shape in ((4, 3, 2, 2), (2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1))
    )
    both = (order, channels, add_five)


class TestSimKDTerm(AdapterTermTester):
    """What holds for every term on points: it learns nothing of its own, and one image is enough."""

    term = SimKDTerm
    name = "simkd compares maps"
    meets = (
        ((6, 4, 4), (6, 2, 2)),
        ((6, 2, 2), (6, 4, 4)),
        ((17, 6), (6, 4, 4)),
        ((6, 1, 1), (6, 1, 1)),
    )
    images = (1, 5)
    learns = False
    refused_points = ((2, (8,), (8, 4, 4)), (2, (15, 8), (8, 4, 4)))  # no maps


def test_gradient_and_scale() -> None:
    """The gradient is 2 (P - t) / n; a common scale counts with its square."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    expected = 2 * (student - teacher) / student.numel()
    torch.testing.assert_close(gradient(simkd_loss, student, teacher), expected)
    nine = 9 * simkd_loss(student, teacher)
    torch.testing.assert_close(simkd_loss(3 * student, 3 * teacher), nine)


def test_larger_maps_are_pooled() -> None:
    """To the smaller height and width, by means; several points are added up."""
    mine, theirs = numbers(3, 6, 4, 4), numbers(3, 6, 2, 2, seed=1)
    expected = simkd_loss(adaptive_avg_pool2d(mine, 2), theirs)
    one = pair((6, 4, 4), (6, 2, 2))
    torch.testing.assert_close(term_loss(SimKDTerm([one]), mine, theirs), expected)
    torch.testing.assert_close(term_loss(SimKDTerm([one, one]), mine, theirs), 2 * expected)
    turned = pair((6, 2, 2), (6, 4, 4))
    torch.testing.assert_close(term_loss(SimKDTerm([turned]), theirs, mine), expected)


def test_build() -> None:
    """The last stages of both networks."""
    stages = [Stage(*(FeaturePoint(path, (3, 4, 4)),) * 3, None) for path in ("one", "two")]
    net = NetworkInfo("Net", tuple(stages), None, None, {"one": (3, 4, 4), "two": (3, 4, 4)})
    term = SimKDTerm.build(SimKDConfig(reduction=4), BuildContext(net, net, classes=4, images=9))
    assert term.needs == Needs(student_points=("two",), teacher_points=("two",))


def test_other_channels() -> None:
    """Without a projector to the teacher's channels there is nothing to compare."""
    with pytest.raises(UsageError, match=r"simkd(.|\n)*\[5, 4, 4\](.|\n)*\[6, 4, 4\]"):
        SimKDTerm([pair((5, 4, 4), (6, 4, 4))])
