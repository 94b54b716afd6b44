"""Inter-channel correlation against plain loops, its invariances, its adapter, its refusals."""

import itertools
import math

import pytest
import torch
from proving import (
    batch_of,
    finite_in_any_precision,
    gradcheck,
    numbers,
    pair,
    said,
    spares_the_teacher,
)
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tutelage.config.losses.relation import ICCConfig
from tutelage.errors import InputError
from tutelage.losses.relation.icc import ICCTerm, icc_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput

# More places than channels and fewer, so that both orders of multiplication are used; other sizes.
SHAPES = [
    ((2, 3, 4, 4), (2, 3, 4, 4)),
    ((1, 6, 1, 2), (1, 6, 1, 2)),
    ((3, 5, 1, 1), (3, 5, 1, 1)),
    ((2, 4, 3, 3), (2, 4, 1, 2)),
]


def oracle(student: Tensor, teacher: Tensor) -> float:
    """Gram matrices with rows of length 1, number by number."""

    def rows(image: list[list[float]]) -> list[list[float]]:
        gram = [[sum(map(float.__mul__, a, b)) for b in image] for a in image]
        lengths = [math.sqrt(sum(g * g for g in row)) for row in gram]
        return [[g / n if n else 0.0 for g in row] for row, n in zip(gram, lengths, strict=True)]

    total = 0.0
    for s, t in zip(student.flatten(2).tolist(), teacher.flatten(2).tolist(), strict=True):
        for a, b in zip(rows(s), rows(t), strict=True):
            total += sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return total / (student.shape[0] * student.shape[1])


@pytest.mark.parametrize(("mine", "theirs"), SHAPES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_oracle(mine: tuple[int, ...], theirs: tuple[int, ...], scale: float) -> None:
    """The same as the definition, however large the features, with a dead channel, too."""
    student, teacher = scale * numbers(*mine), numbers(*theirs, seed=1)
    assert icc_loss(student, teacher).item() == pytest.approx(oracle(student, teacher), rel=1e-10)
    teacher[:, 0] = 0
    assert icc_loss(student, teacher).item() == pytest.approx(oracle(student, teacher), rel=1e-10)


@pytest.mark.parametrize(("mine", "theirs"), SHAPES)
def test_gradient(mine: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    """Finite differences agree, whichever way the products are multiplied."""
    student, teacher = numbers(*mine), numbers(*theirs, seed=1)
    assert gradcheck(icc_loss, student, teacher)


def test_teacher_is_spared() -> None:
    """The teacher gets no gradient."""
    spares_the_teacher(icc_loss, numbers(2, 3, 4, 4), numbers(2, 3, 4, 4, seed=1))


def test_closed_form() -> None:
    """Channels that answer apart, together, and one of them the other way round."""
    apart = torch.eye(4, dtype=torch.float64).reshape(1, 4, 2, 2)
    together = torch.ones(1, 4, 2, 2, dtype=torch.float64)
    # Rows e_c and (1, 1, 1, 1) / 2: 2 - 2 * 1/2.
    assert icc_loss(apart, together).item() == pytest.approx(1.0, rel=1e-12)
    # With channel 0 turned round, its row is (1, -1, -1, -1) / 2, and the others' (-1, 1, 1, 1) / 2.
    turned = together.clone()
    turned[:, 0] *= -1
    assert icc_loss(turned, together).item() == pytest.approx((3 + 3 * 1) / 4, rel=1e-12)


def test_invariances() -> None:
    """0 at equality; an image's scale, the order of places, channels and images do not matter."""
    student, teacher = numbers(4, 3, 2, 5), numbers(4, 3, 2, 5, seed=1)
    expected = icc_loss(student, teacher)
    assert expected > 0.01
    assert icc_loss(student, student).abs().item() < 1e-12
    assert icc_loss(student.float(), student.float()).abs().item() < 1e-6
    sizes = torch.tensor([0.1, 2.0, -30.0, 400.0], dtype=torch.float64)[:, None, None, None]
    torch.testing.assert_close(icc_loss(sizes * student, teacher), expected)
    torch.testing.assert_close(icc_loss(student, sizes * teacher), expected)
    torch.testing.assert_close(icc_loss(student.flip(2, 3), teacher), expected)
    for change in (lambda x: x.flip(0), lambda x: x.roll(1, 1)):
        torch.testing.assert_close(icc_loss(change(student), change(teacher)), expected)
    # Each row is divided by one number, not by one a channel: the size of one channel does matter.
    louder = student.clone()
    louder[:, 0] *= 5
    assert (icc_loss(louder, teacher) - expected).abs() > 1e-3


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finite(scale: float) -> None:
    """Finite in every precision: large, constant, zero and identical maps, one image."""
    student = numbers(2, 3, 4, 4, scale=scale).clamp(-6e4, 6e4)
    teacher = numbers(2, 3, 4, 4, seed=1, scale=scale).clamp(-6e4, 6e4)
    constant, zero = torch.full_like(student, scale), torch.zeros_like(student)
    for mine, theirs in itertools.product((student, constant, zero), (teacher, constant, zero)):
        finite_in_any_precision(icc_loss, mine, theirs)
    finite_in_any_precision(icc_loss, student, student)
    finite_in_any_precision(icc_loss, student[:1], teacher[:1])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [((2, 3, 4, 4), (2, 1, 4, 4)), ((2, 3, 4, 4), (1, 3, 4, 4)), ((2, 3), (2, 3))],
)
def test_shapes(mine: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    """Other channels or images are refused with both shapes printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"icc(.|\n)*student \[2, 3.*teacher \["):
        icc_loss(torch.zeros(mine), torch.zeros(theirs))


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((6, 4, 4), (8, 4, 4)), ((6, 4, 4), (8, 2, 3)), ((17, 6), (8, 4, 4)), ((6, 4, 4), (17, 8))],
)
def test_term(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Other channels and sizes, and tokens, meet through an adapter, which learns and is saved."""
    term = ICCTerm([pair(student, teacher)])
    mine = numbers(5, *student).float().requires_grad_()
    theirs = numbers(5, *teacher, seed=1).float()
    torch.autograd.backward(said(term, mine, theirs))
    assert mine.grad is not None
    assert mine.grad.abs().max() > 0
    weight = term.adapters[0][0].weight
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    assert term.needs == Needs(student_points=("a",), teacher_points=("b",))
    assert not term.across_batch
    other = ICCTerm([pair(student, teacher)])
    other.load_state_dict(term.state_dict())
    torch.testing.assert_close(
        said(other.eval(), mine, theirs), said(term.eval(), mine, theirs), rtol=0, atol=0
    )


def test_term_adds_up_pairs_and_compares_adapted_maps() -> None:
    """Each pair's loss is that of the adapter's result with the teacher's map, whatever their sizes."""
    pairs = [pair((3, 4, 4), (5, 2, 2)), pair((2, 2, 2), (4, 2, 2), name="c", other="d")]
    term = ICCTerm(pairs).double().eval()
    features = [numbers(3, *p.student.shape, seed=n) for n, p in enumerate(pairs)]
    taught = [numbers(3, *p.teacher.shape, seed=7 + n) for n, p in enumerate(pairs)]
    logits = torch.zeros(3, 4)
    found = term(
        ModelOutput(logits, dict(zip("ac", features, strict=True))),
        TeacherOutput(None, dict(zip("bd", taught, strict=True))),
        batch_of(3),
        START,
    )
    expected = sum(
        oracle(adapter(f).detach(), t)
        for adapter, f, t in zip(term.adapters, features, taught, strict=True)
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_build() -> None:
    """Without points, the last stages are compared."""

    def anatomy(channels: int) -> NetworkInfo:
        ends = [FeaturePoint(f"stage{n}", (channels * n, 8 // n, 8 // n)) for n in (1, 2)]
        stages = tuple(Stage(end, end, end, None) for end in ends)
        return NetworkInfo("net", stages, None, None, {end.path: end.shape for end in ends})

    term = ICCTerm.build(ICCConfig(), BuildContext(anatomy(4), anatomy(6), classes=4, images=9))
    assert term.needs == Needs(student_points=("stage2",), teacher_points=("stage2",))
    assert term.adapters[0][0].weight.shape == (12, 8, 1, 1)


def test_refusals() -> None:
    """One number a channel cannot be normalised; tokens without a square and vectors are no maps."""
    with pytest.raises(InputError, match="icc: the adapter's BatchNorm"):
        said(
            ICCTerm([pair((6, 1, 1), (8, 1, 1))]), torch.zeros(1, 6, 1, 1), torch.zeros(1, 8, 1, 1)
        )
    with pytest.raises(InputError, match="icc compares maps"):
        said(ICCTerm([pair((15, 6), (8, 4, 4))]), torch.zeros(2, 15, 6), torch.zeros(2, 8, 4, 4))
    with pytest.raises(InputError, match="icc compares maps"):
        said(ICCTerm([pair((6,), (8,))]), torch.zeros(2, 6), torch.zeros(2, 8))


def test_no_waiting_for_the_device() -> None:
    """Tensors without numbers will do: nothing is read back from the device."""
    with FakeTensorMode():
        term = ICCTerm([pair((6, 4, 4), (8, 4, 4))])
        mine = torch.zeros(3, 6, 4, 4, requires_grad=True)
        torch.autograd.backward(said(term, mine, torch.zeros(3, 8, 4, 4)))
