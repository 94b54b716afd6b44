"""Activation boundaries against plain loops and other software, their invariances, adapter and refusals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from support.examples import examples
from support.losses.checks import batch_of, gradient, numbers, pair
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, channels, order
from tutelage.config.losses.feature import ABConfig
from tutelage.errors import UsageError
from tutelage.losses.feature.ab import ABTerm, ab_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput

MARGINS = [0.1, 1.0, 3.0]


def slow(student: Tensor, teacher: Tensor, margin: float) -> float:
    """Both conditions as the paper states them, number by number."""
    total = 0.0
    for r, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        if t <= 0 and r > -margin:
            total += (r + margin) ** 2
        if t > 0 and r <= margin:
            total += (r - margin) ** 2
    return 3 / 1000 * total / len(student)


class TestAB(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(ab_loss)
    name = "ab"
    options = tuple({"margin": margin} for margin in MARGINS)
    shapes = (((2, 3, 2, 2), (2, 3, 2, 2)),)
    equality = None  # features closer to 0 than the margin are asked to leave
    both = (order, channels, torch.neg)
    teacher = (lambda x: 1e6 * x.sign(),)  # only its signs count


class TestABTerm(AdapterTermTester):
    """What holds for every term with adapters."""

    term = ABTerm
    name = "ab"
    meets = (
        ((6, 4, 4), (8, 2, 2)),
        ((6, 2, 2), (8, 4, 4)),
        ((17, 6), (8, 4, 4)),
        ((6,), (8,)),
    )
    refused_points = ((1, (6, 1, 1), (8, 1, 1)),)  # nothing to normalise by

    def test_no_activation(self) -> None:
        """What is compared comes before an activation, and may be below 0."""
        for points in self.meets:
            assert not any(isinstance(module, nn.ReLU) for module in self.make(*points).modules())


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    margin=st.sampled_from(MARGINS),
    seed=st.integers(0, 99),
)
@examples(40)
def test_oracle(shape: list[int], margin: float, seed: int) -> None:
    """The loss equals plain loops; a teacher's 0 is off."""
    student, teacher = numbers(*shape, seed=seed, scale=2), numbers(*shape, seed=seed + 100)
    teacher.flatten()[0] = 0
    found = ab_loss(student, teacher, margin=margin).item()
    assert found == pytest.approx(slow(student, teacher, margin), rel=1e-12, abs=1e-15)


def test_closed_form() -> None:
    """On the right side it is (m - |r|)^2 inside the margin and 0 outside, on the wrong one (m + |r|)^2."""
    cases = {(0.25, 9.0): 0.75, (2.0, 9.0): 0.0, (-2.0, 9.0): 3.0}
    cases |= {(-0.25, -1e-9): 0.75, (-2.0, 0.0): 0.0, (2.0, 0.0): 3.0}
    for (student, teacher), far in cases.items():
        found = ab_loss(torch.tensor([[student]]), torch.tensor([[teacher]])).item()
        assert found == pytest.approx(0.003 * far**2)


def test_margin() -> None:
    """Scale goes with the margin; 0 where the student is clearly right, and not at equality."""
    student, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    expected = ab_loss(student, teacher)
    torch.testing.assert_close(ab_loss(5 * student, teacher, margin=5.0), 25 * expected)
    right = teacher.sign() * (1 + student.abs())
    assert ab_loss(right, teacher).item() == 0
    assert gradient(ab_loss, right, teacher).abs().max() == 0
    # Not 0 at equality: features closer to 0 than the margin are asked to leave.
    assert ab_loss(teacher, teacher).item() > 0


def test_refusals() -> None:
    """A margin that is not a finite number above 0 is refused, by function and term."""
    for margin in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="margin"):
            ab_loss(torch.zeros(1, 2), torch.zeros(1, 2), margin=margin)
        with pytest.raises(UsageError, match="margin"):
            ABTerm([pair((1, 2, 2), (1, 2, 2))], ABConfig(margin=margin))


@pytest.mark.parametrize("margin", MARGINS)
def test_other_software(margin: float) -> None:
    """As torchdistill, whose weights of stages and factor 3 / 1000 are settings of its user."""
    from torchdistill.losses.mid_level import AltActTransferLoss

    features = [numbers(3, n, 4, 4, seed=n, scale=2) for n in range(2, 8)]
    mine, theirs = features[:3], [numbers(*x.shape, seed=9) for x in features[:3]]
    pairs = {
        str(i): {
            "student": {"io": "output", "path": f"s{i}"},
            "teacher": {"io": "output", "path": f"t{i}"},
            "weight": 0.003 * share,
        }
        for i, share in enumerate([0.25, 0.5, 1.0])
    }
    there = AltActTransferLoss(pairs, margin=margin, reduction="mean")
    expected = there(
        {f"s{i}": {"output": x} for i, x in enumerate(mine)},
        {f"t{i}": {"output": x} for i, x in enumerate(theirs)},
    )
    points = [
        pair(x.shape[1:], x.shape[1:], name=f"s{i}", other=f"t{i}") for i, x in enumerate(mine)
    ]
    term = ABTerm(points, ABConfig(margin=margin))
    term.adapters = nn.ModuleList(nn.Identity() for _ in points)
    output = ModelOutput(torch.zeros(3, 4), {f"s{i}": x for i, x in enumerate(mine)})
    signal = TeacherOutput(None, {f"t{i}": x for i, x in enumerate(theirs)})
    told = term(output, signal, batch_of(3), START)
    torch.testing.assert_close(told, expected, rtol=1e-6, atol=0)


def stage(name: str) -> Stage:
    entry, before, end = (FeaturePoint(name + part, (2, 4, 4)) for part in ("in", "before", "end"))
    return Stage(entry, before, end, norm=None)


def test_build() -> None:
    """Built before the last activation of every stage; what adapters have learned comes back."""
    anatomy = NetworkInfo("net", (stage("x"), stage("y")), None, None, {})
    ground = BuildContext(anatomy, anatomy, classes=3, images=9)
    term = ABTerm.build(ABConfig(margin=0.5), ground)
    points = ("xbefore", "ybefore")
    assert term.needs == Needs(student_points=points, teacher_points=points)
    assert term.settings.margin == 0.5
    assert ABTerm.build(ABConfig(), ground).settings.margin == 1.0
    mine, theirs = numbers(4, 2, 4, 4).float(), numbers(4, 2, 4, 4, seed=1).float()
    output = ModelOutput(torch.zeros(4, 3), dict.fromkeys(points, mine))
    signal = TeacherOutput(None, dict.fromkeys(points, theirs))
    term(output, signal, batch_of(4), START)  # BatchNorm has averages now
    other = ABTerm.build(ABConfig(margin=0.5), ground)
    other.load_state_dict(term.state_dict())
    term.eval()
    other.eval()
    assert term(output, signal, batch_of(4), START) == other(output, signal, batch_of(4), START)
