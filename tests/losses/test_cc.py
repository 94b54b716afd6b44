"""Correlation congruence against plain loops, torchdistill and the exact kernel; what its layers learn."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from support.losses.checks import numbers, pair, term_loss
from support.losses.tester import LossTester
from tutelage.config.losses.relation import CCConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.embedding import Embedding, FixedEmbedding
from tutelage.losses.relation.cc import CCTerm, cc_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo


def oracle(student: Tensor, teacher: Tensor, gamma: float, order: int) -> float:
    """The kernel's series term by term, for every two images."""

    def kernel(x: list[float], y: list[float]) -> float:
        lengths = math.sqrt(sum(a * a for a in x)) * math.sqrt(sum(b * b for b in y))
        cosine = sum(a * b for a, b in zip(x, y, strict=True)) / lengths
        series = [(2 * gamma * cosine) ** p / math.factorial(p) for p in range(order + 1)]
        return math.exp(-2 * gamma) * sum(series)

    s, t = student.tolist(), teacher.tolist()
    every = list(itertools.product(range(len(s)), repeat=2))
    squares = [(kernel(s[i], s[j]) - kernel(t[i], t[j])) ** 2 for i, j in every]
    return sum(squares) / len(every)


TURN, _ = torch.linalg.qr(numbers(3, 3, seed=2))
SIZES = torch.logspace(-3, 4, 5, dtype=torch.float64)[:, None]


class TestCC(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(cc_loss)
    name = "cc"
    options = ({}, {"order": 5})
    extreme_options = ({"gamma": 1e4},)
    shapes = (((5, 3), (5, 3)),)
    either = (lambda x: SIZES * x, lambda x: x @ TURN)
    refused = (((2, 3), (2, 1)),)


def test_order_of_one_network() -> None:
    """Images of one network in another order have other relations; a single image has none."""
    student, teacher = numbers(5, 3), numbers(5, 3, seed=1)
    assert (cc_loss(student.flip(0), teacher) - cc_loss(student, teacher)).abs() > 1e-6
    assert cc_loss(student[:1], teacher[:1]).item() == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize("shape", [(5, 3), (2, 7), (3, 1), (1, 4)])
@pytest.mark.parametrize(("gamma", "order"), [(0.4, 2), (1.5, 1), (0.1, 5)])
def test_oracle(shape: tuple[int, int], gamma: float, order: int) -> None:
    """The same as the definition."""
    student, teacher = numbers(*shape), numbers(*shape, seed=1)
    found = cc_loss(student, teacher, gamma=gamma, order=order).item()
    assert found == pytest.approx(oracle(student, teacher, gamma, order), rel=1e-10, abs=1e-30)


def test_series_tends_to_the_gaussian_kernel() -> None:
    """With many terms, K is exp(-gamma |x - y|^2) of vectors of length 1."""
    student, teacher = numbers(4, 3), numbers(4, 3, seed=1)

    def gaussian(x: Tensor) -> Tensor:
        x = x / x.norm(dim=1, keepdim=True)
        return torch.exp(-0.4 * (x[:, None] - x).square().sum(2))

    expected = (gaussian(student) - gaussian(teacher)).square().mean()
    torch.testing.assert_close(cc_loss(student, teacher, order=10), expected)


def test_torchdistill() -> None:
    """Torchdistill divides |K_s - K_t|_F, not its square, by B^2: ours is (B times theirs)^2.

    Their kernel takes for granted that embeddings have length 1, and so it is given such.
    """
    from torchdistill.losses.mid_level import CCKDLoss

    student, teacher = (torch.nn.functional.normalize(numbers(6, 5, seed=n)) for n in (0, 1))
    theirs = CCKDLoss("s", "t", {"type": "gaussian", "gamma": 0.4, "max_p": 2}, "batchmean")
    found = theirs({"s": {"output": student}}, {"t": {"output": teacher}})
    torch.testing.assert_close(
        cc_loss(3 * student, 0.2 * teacher), (6 * found) ** 2, rtol=1e-6, atol=0
    )


def test_refusals() -> None:
    """Shapes that differ, maps, and kernels that do not exist are refused."""
    with pytest.raises(InputError, match=r"\[2, 3\].*\[2, 1\]"):
        cc_loss(torch.zeros(2, 3), torch.zeros(2, 1))
    with pytest.raises(InputError, match="cc"):
        cc_loss(torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 1, 1))
    for wrong in ({"gamma": 0.0}, {"gamma": math.inf}, {"order": 0}):
        with pytest.raises(UsageError, match="cc"):
            cc_loss(torch.zeros(2, 3), torch.zeros(2, 3), **wrong)


@pytest.mark.parametrize(
    ("student", "teacher"), [((6,), (8,)), ((6, 2, 2), (5, 3, 3)), ((5, 6), (4,))]
)
def test_term(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """It is the loss of two embeddings of width 4; the student's learns, the teacher's cannot."""
    settings = CCConfig(gamma=0.7, order=3, width=4, student_points=("a",), teacher_points=("b",))
    anatomies = (
        NetworkInfo("net", (), None, None, {name: shape})
        for name, shape in (("a", student), ("b", teacher))
    )
    term = CCTerm.build(settings, BuildContext(*anatomies, classes=4, images=9)).double()
    mine, theirs = numbers(5, *student).requires_grad_(), numbers(5, *teacher, seed=1)
    loss = term_loss(term, mine, theirs)
    embedded = term.student[0](mine), term.teacher[0](theirs)
    assert embedded[0].shape == embedded[1].shape == (5, 4)
    assert loss.item() == pytest.approx(oracle(*embedded, 0.7, 3), rel=1e-9)
    torch.autograd.backward(loss)
    assert mine.grad is not None
    assert {name for name, _ in term.named_parameters()} == {
        "student.0.linear.weight",
        "student.0.linear.bias",
    }
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())
    assert term.across_batch
    vector = len(teacher) == 1
    assert term.needs == Needs(
        student_points=("a",),
        teacher_points=() if vector else ("b",),
        teacher_vectors=("b",) if vector else (),
    )


def test_default_points_and_state() -> None:
    """What the classifiers are given is compared; both embeddings are in the state."""

    def anatomy(path: str, width: int) -> NetworkInfo:
        return NetworkInfo("net", (), FeaturePoint(path, (width,)), None, {})

    ground = BuildContext(anatomy("a", 6), anatomy("b", 8), classes=4, images=9)
    one, two = (CCTerm.build(CCConfig(), ground) for _ in range(2))
    assert one.needs == Needs(student_points=("a",), teacher_vectors=("b",))
    mine, theirs = numbers(5, 6).float(), numbers(5, 8, seed=1).float()
    assert term_loss(one, mine, theirs) != term_loss(two, mine, theirs)
    two.load_state_dict(one.state_dict())
    assert term_loss(one, mine, theirs) == term_loss(two, mine, theirs)


def test_teachers_embedding_keeps_cosines() -> None:
    """A wide orthogonal matrix keeps all cosines; a narrow one keeps them roughly."""
    features = numbers(20, 32)
    unit = torch.nn.functional.normalize(features)
    wide = FixedEmbedding(FeaturePoint("b", (32,)), 64).double()(features)
    torch.testing.assert_close(wide @ wide.T, unit @ unit.T, rtol=0, atol=1e-6)
    narrow = FixedEmbedding(FeaturePoint("b", (32,)), 16).double()(features)
    assert (narrow @ narrow.T - unit @ unit.T).abs().mean() < 0.3
    assert (narrow.norm(dim=1) - 1).abs().max() < 1e-6


def test_embedding_does_not_collapse() -> None:
    """Trained for long, the student's embeddings take the teacher's relations, not one point."""
    torch.manual_seed(0)
    term = CCTerm([pair((16,), (16,))], CCConfig(width=16))
    theirs = numbers(12, 16, seed=1).float()
    mine = theirs + 0.1 * numbers(12, 16).float()
    optimizer = torch.optim.Adam(term.parameters(), lr=1e-2)
    first = term_loss(term, mine, theirs).item()
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(term_loss(term, mine, theirs))
        optimizer.step()
    assert term_loss(term, mine, theirs).item() < first / 10
    embedded = term.student[0](mine)
    assert (embedded @ embedded.T).std() > 0.1


def test_embedding_is_computed_in_full_precision() -> None:
    """Half-precision features under autocast give unit vectors in fp32."""
    embedding = Embedding(FeaturePoint("a", (6, 2, 2)), 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = embedding(numbers(3, 6, 2, 2).bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
