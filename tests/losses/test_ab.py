"""Activation boundaries against plain loops and other software, their invariances, adapter and refusals."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from proving import (
    batch_of,
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    pair,
    said,
    spares_the_teacher,
)
from torch import Tensor, nn

from tutelage.config.losses.feature import ABConfig
from tutelage.errors import InputError, UsageError
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


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    margin=st.sampled_from(MARGINS),
    seed=st.integers(0, 99),
)
@examples(max_examples=40, deadline=None)
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


@pytest.mark.parametrize("margin", MARGINS)
def test_gradient(margin: float) -> None:
    """Finite differences agree; the teacher gets none."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)

    def loss(s: Tensor, t: Tensor) -> Tensor:
        return ab_loss(s, t, margin=margin)

    assert gradcheck(loss, student, teacher)
    spares_the_teacher(loss, student, teacher)


def test_invariances() -> None:
    """Only the teacher's signs count; scale goes with the margin; 0 where the student is clearly right."""
    student, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    expected = ab_loss(student, teacher)
    torch.testing.assert_close(ab_loss(student, 1e6 * teacher.sign()), expected)
    torch.testing.assert_close(ab_loss(5 * student, teacher, margin=5.0), 25 * expected)
    torch.testing.assert_close(ab_loss(-student, -teacher), expected)
    torch.testing.assert_close(ab_loss(student.flip(0), teacher.flip(0)), expected)
    right = teacher.sign() * (1 + student.abs())
    assert ab_loss(right, teacher).item() == 0
    assert gradient(ab_loss, right, teacher).abs().max() == 0
    # Not 0 at equality: features closer to 0 than the margin are asked to leave.
    assert ab_loss(teacher, teacher).item() > 0


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 2])
def test_finite(scale: float, count: int) -> None:
    """Finite in every precision for tiny, huge, equal, constant and zero features, and a batch of one."""
    one = numbers(count, 3, 4, 4, scale=scale)
    maps = (one, torch.zeros_like(one), torch.full_like(one, scale))
    for student, teacher in itertools.product(maps, maps):
        finite_in_any_precision(ab_loss, student, teacher)


def test_refusals() -> None:
    """Shapes that differ are refused with both printed, and so is a margin that is none."""
    with pytest.raises(InputError, match=r"ab[^$]*\[2, 3, 4, 4\].*\[2, 1, 4, 4\]"):
        ab_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))
    for margin in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="margin"):
            ab_loss(torch.zeros(1, 2), torch.zeros(1, 2), margin=margin)
        with pytest.raises(UsageError, match="margin"):
            ABTerm([pair((1, 2, 2), (1, 2, 2))], margin=margin)


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
    term = ABTerm(points, margin=margin)
    term.adapters = nn.ModuleList(nn.Identity() for _ in points)
    output = ModelOutput(torch.zeros(3, 4), {f"s{i}": x for i, x in enumerate(mine)})
    signal = TeacherOutput(None, {f"t{i}": x for i, x in enumerate(theirs)})
    told = term(output, signal, batch_of(3), START)
    torch.testing.assert_close(told, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((6, 4, 4), (8, 2, 2)), ((6, 2, 2), (8, 4, 4)), ((17, 6), (8, 4, 4)), ((6,), (8,))],
)
def test_term(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Other channels and sizes, tokens and vectors meet through an adapter, which learns, too."""
    term = ABTerm([pair(student, teacher)])
    mine = numbers(5, *student).float().requires_grad_()
    torch.autograd.backward(said(term, mine, numbers(5, *teacher, seed=1).float()))
    assert mine.grad is not None
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())
    # What is compared comes before an activation, and may be below 0.
    assert not any(isinstance(module, nn.ReLU) for module in term.modules())
    assert not term.across_batch


def test_one_number_a_channel() -> None:
    """A batch of one image with one place has nothing to normalise by, and the term says so by name."""
    term = ABTerm([pair((6, 1, 1), (8, 1, 1))])
    with pytest.raises(InputError, match="ab"):
        said(term, torch.zeros(1, 6, 1, 1), torch.zeros(1, 8, 1, 1))


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
    assert term.margin == 0.5
    other = ABTerm.build(ABConfig(), ground)
    assert other.margin == 1.0
    mine, theirs = numbers(4, 2, 4, 4).float(), numbers(4, 2, 4, 4, seed=1).float()
    output = ModelOutput(torch.zeros(4, 3), dict.fromkeys(points, mine))
    signal = TeacherOutput(None, dict.fromkeys(points, theirs))
    term(output, signal, batch_of(4), START)  # BatchNorm has averages now
    other.load_state_dict(term.state_dict())
    other.margin = 0.5
    term.eval()
    other.eval()
    assert term(output, signal, batch_of(4), START) == other(output, signal, batch_of(4), START)
