"""Inter-channel correlation against plain loops, its invariances, its adapter, its refusals."""

import math

import pytest
import torch
from torch import Tensor

from support.losses.checks import batch_of, gradcheck, numbers, pair, term_loss
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, channels, order, places
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


SIZES = torch.tensor([0.1, 2.0, -30.0, 400.0], dtype=torch.float64)[:, None, None, None]


class TestICC(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(icc_loss)
    name = "icc"
    shapes = (
        ((4, 3, 2, 5), (4, 3, 2, 5)),
        ((4, 6, 1, 2), (4, 6, 1, 2)),
        ((4, 4, 3, 3), (4, 4, 1, 2)),
    )
    equality = 1e-12
    both = (order, channels)
    student = (places,)
    either = (lambda x: SIZES * x,)
    refused = (((2, 3, 4, 4), (2, 1, 4, 4)), ((2, 3, 4, 4), (1, 3, 4, 4)), ((2, 3), (2, 3)))

    def test_one_place(self) -> None:
        """Maps of one place have signs alone, and no gradient but for those."""
        assert gradcheck(icc_loss, numbers(3, 5, 1, 1), numbers(3, 5, 1, 1, seed=1))

    def test_channel_of_another_size(self) -> None:
        """Each row is divided by one number, not by one a channel: the size of one channel does matter."""
        student, teacher = numbers(4, 3, 2, 5), numbers(4, 3, 2, 5, seed=1)
        expected = icc_loss(student, teacher)
        assert expected > 0.01
        assert icc_loss(student.float(), student.float()).abs().item() < 1e-6
        student[:, 0] *= 5
        assert (icc_loss(student, teacher) - expected).abs() > 1e-3


class TestICCTerm(AdapterTermTester):
    """What holds for every term with adapters."""

    term = ICCTerm
    name = "icc"
    meets = (
        ((6, 4, 4), (8, 4, 4)),
        ((6, 4, 4), (8, 2, 3)),
        ((17, 6), (8, 4, 4)),
        ((6, 4, 4), (17, 8)),
    )


@pytest.mark.parametrize(("mine", "theirs"), SHAPES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_oracle(mine: tuple[int, ...], theirs: tuple[int, ...], scale: float) -> None:
    """The same as the definition, however large the features, with a dead channel, too."""
    student, teacher = scale * numbers(*mine), numbers(*theirs, seed=1)
    assert icc_loss(student, teacher).item() == pytest.approx(oracle(student, teacher), rel=1e-10)
    teacher[:, 0] = 0
    assert icc_loss(student, teacher).item() == pytest.approx(oracle(student, teacher), rel=1e-10)


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
    with pytest.raises(InputError, match="icc: BatchNorm"):
        term_loss(
            ICCTerm([pair((6, 1, 1), (8, 1, 1))]), torch.zeros(1, 6, 1, 1), torch.zeros(1, 8, 1, 1)
        )
    with pytest.raises(InputError, match="icc compares maps"):
        term_loss(
            ICCTerm([pair((15, 6), (8, 4, 4))]), torch.zeros(2, 15, 6), torch.zeros(2, 8, 4, 4)
        )
    with pytest.raises(InputError, match="icc compares maps"):
        term_loss(ICCTerm([pair((6,), (8,))]), torch.zeros(2, 6), torch.zeros(2, 8))
