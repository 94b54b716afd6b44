"""Softmax regression: both distances against plain loops, the teacher's head, its connector, its refusals."""

import pytest
import torch
from torch import Tensor, nn

from support.losses.checks import (
    batch_of,
    finite_in_any_precision,
    gradient,
    numbers,
    pair,
    term_loss,
)
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, Shape
from tutelage.config.losses.feature import SRRLConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature.srrl import SRRLTerm, srrl_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, TeacherOutput

HEAD = numbers(4, 3, seed=8), numbers(4, seed=9)


def loss(student: Tensor, teacher: Tensor) -> Tensor:
    """With the teacher's own logits, in fp32 at least."""
    vectors = teacher.to(torch.promote_types(teacher.dtype, torch.float32))
    weight, bias = (part.to(vectors) for part in HEAD)
    return srrl_loss(student, teacher, vectors @ weight.T + bias, HEAD)


class TestSRRL(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(loss)
    name = "srrl"
    shapes = (((5, 3), (5, 3)),)
    equality = 1e-25
    scales = (1e-4, 1.0, 1e3)
    refused = (((2, 3), (1, 3)),)


class TestSRRLTerm(AdapterTermTester):
    """What holds for every term with adapters: the connector learns, and the head does not."""

    term = SRRLTerm
    name = "srrl"
    meets = (((5,), (3,)), ((3,), (3,)), ((5, 2, 2), (3,)), ((5,), (3, 2, 2)))
    refused_points = ((1, (5, 1, 1), (3,)),)  # nothing to normalise by

    def make(self, student: Shape, teacher: Shape) -> SRRLTerm:
        """Add the teacher's head."""
        return SRRLTerm([pair(student, teacher)], tuple(part.float() for part in HEAD))

    def test_the_head_is_the_teachers(self) -> None:
        """It is not trained, and no state: it follows from the teacher."""
        term = self.make(*self.meets[0])
        assert {name.split(".")[0] for name, _ in term.named_parameters()} == {"connectors"}
        assert {name.split(".")[0] for name in term.state_dict()} == {"connectors"}
        assert not term.weight.requires_grad


def test_gradient_closed_form() -> None:
    """It is 2 (r - t) / BD + 2 (W r + b - z) W / BC; logits and head get none."""
    student, teacher = numbers(5, 3), numbers(5, 3, seed=1)
    difference, weight = student - teacher, HEAD[0]
    expected = 2 * difference / 15 + 2 * (difference @ weight.T) @ weight / 20
    torch.testing.assert_close(gradient(loss, student, teacher), expected)
    head = tuple(part.clone().requires_grad_() for part in HEAD)
    logits = numbers(5, 4).requires_grad_()
    torch.autograd.backward(srrl_loss(student.requires_grad_(), teacher, logits, head))
    assert logits.grad is None
    assert all(part.grad is None for part in head)


def test_rotation() -> None:
    """One that the head takes back does not matter."""
    student, teacher = numbers(5, 3), numbers(5, 3, seed=1)
    turn = torch.linalg.qr(numbers(3, 3, seed=4)).Q
    logits = teacher @ HEAD[0].T + HEAD[1]
    turned = srrl_loss(student @ turn, teacher @ turn, logits, (HEAD[0] @ turn, HEAD[1]))
    torch.testing.assert_close(turned, loss(student, teacher))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    ("features", "regression"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (2.0, 0.5)]
)
def test_oracle(count: int, features: float, regression: float) -> None:
    """Both means of squares, number by number, each with its weight."""
    student, teacher = numbers(count, 3), numbers(count, 3, seed=1)
    logits, (weight, bias) = numbers(count, 4, seed=2), HEAD
    first = second = 0.0
    for i in range(count):
        for d in range(3):
            first += (student[i, d].item() - teacher[i, d].item()) ** 2 / (count * 3)
        for k in range(4):
            said_k = bias[k].item()
            for d in range(3):
                said_k += weight[k, d].item() * student[i, d].item()
            second += (said_k - logits[i, k].item()) ** 2 / (count * 4)
    found = srrl_loss(student, teacher, logits, HEAD, features=features, regression=regression)
    assert found.item() == pytest.approx(features * first + regression * second, rel=1e-12)


@pytest.mark.parametrize("far", [(1e4, -1e4), (6e4, 6e4)])
def test_finite_far_logits(far: tuple[float, float]) -> None:
    """Logits that hardly fit float16, and are far from what the head says."""
    logits = torch.tensor(far * 2).expand(2, 4)

    def at(student: Tensor, teacher: Tensor) -> Tensor:
        return srrl_loss(student, teacher, logits.to(teacher), HEAD)

    finite_in_any_precision(at, numbers(2, 3), numbers(2, 3, seed=1))


@pytest.mark.parametrize(
    ("student", "teacher", "logits"),
    [
        ((2, 3), (1, 3), (2, 4)),
        ((2, 3), (2, 3), (1, 4)),
        ((2, 3), (2, 3), (2, 5)),
        ((2, 2), (2, 2), (2, 4)),
        ((2, 3, 1, 1), (2, 3, 1, 1), (2, 4)),
    ],
)
def test_shapes(
    student: tuple[int, ...], teacher: tuple[int, ...], logits: tuple[int, ...]
) -> None:
    """Vectors of two shapes, logits of others, and a head of another width are refused, with the shapes."""
    with pytest.raises(InputError, match=r"srrl(.|\n)*\[\d.*\[\d"):
        srrl_loss(torch.zeros(student), torch.zeros(teacher), torch.zeros(logits), HEAD)
    weight, bias = HEAD
    with pytest.raises(InputError, match="srrl"):
        srrl_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4), (weight, bias[:1]))


def anatomy(width: int, *, head: bool = True) -> NetworkInfo:
    vector = FeaturePoint("pool", (width,))
    own = (numbers(4, width).float(), numbers(4, seed=1).float()) if head else None
    shapes = {"pool": (width,), "map": (width, 2, 2), "narrow": (width - 1,)}
    return NetworkInfo("Net", (), vector, own, shapes)


def ground(*, head: bool = True) -> BuildContext:
    return BuildContext(anatomy(5), anatomy(3, head=head), classes=4, images=9)


def test_build() -> None:
    """The vectors and the logits are asked for; the settings and the head reach the loss."""
    term = SRRLTerm.build(SRRLConfig(features=0.25, regression=3.0), ground())
    expected = Needs(teacher_logits=True, student_points=("pool",), teacher_vectors=("pool",))
    assert term.needs == expected
    assert not term.across_batch
    mine, theirs = numbers(6, 5).float(), numbers(6, 3, seed=1).float()
    logits, head = numbers(6, 4, seed=2).float(), anatomy(3).head
    assert head is not None
    output, signal = (
        ModelOutput(torch.zeros(6, 4), {"pool": mine}),
        TeacherOutput(logits, {"pool": theirs}),
    )
    found = term(output, signal, batch_of(6), START)
    connected = term.connectors[0](mine)
    wanted = srrl_loss(connected, theirs, logits, head, features=0.25, regression=3.0)
    torch.testing.assert_close(found, wanted)


def test_teacher_without_a_head() -> None:
    """A teacher that ends in no linear layer is refused, by the name of the term."""
    with pytest.raises(UsageError, match=r"losses\.srrl.*last linear layer"):
        SRRLTerm.build(SRRLConfig(), ground(head=False))


def test_head_of_another_width() -> None:
    """A named point that the head cannot read is refused before training."""
    settings = SRRLConfig(student_points=("pool",), teacher_points=("narrow",))
    with pytest.raises(UsageError, match=r"losses\.srrl.*cannot read narrow(.|\n)*3 channels"):
        SRRLTerm.build(settings, ground())


def test_maps() -> None:
    """The last map of both is connected by convolution, BatchNorm and ReLU, and then averaged."""
    settings = SRRLConfig(student_points=("map",), teacher_points=("map",))
    term = SRRLTerm.build(settings, ground())
    assert [type(part) for part in term.connectors[0]] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    mine, theirs = numbers(6, 5, 2, 2).float(), numbers(6, 3, 2, 2, seed=1).float()
    logits, head = numbers(6, 4, seed=2).float(), anatomy(3).head
    assert head is not None
    output, signal = ModelOutput(logits, {"map": mine}), TeacherOutput(logits, {"map": theirs})
    connected = term.connectors[0](mine).mean((2, 3))
    expected = srrl_loss(connected, theirs.mean((2, 3)), logits, head)
    torch.testing.assert_close(term(output, signal, batch_of(6), START), expected)
    with pytest.raises(InputError, match="srrl"):
        term_loss(
            SRRLTerm([pair((5, 1, 1), (3,))], HEAD), torch.zeros(1, 5, 1, 1), torch.zeros(1, 3)
        )


def test_no_logits() -> None:
    """A signal without logits is refused by name."""
    term = SRRLTerm([pair((5,), (3,))], HEAD)
    with pytest.raises(UsageError, match="srrl needs the logits"):
        term(ModelOutput(torch.zeros(2, 4), {}), TeacherOutput(None, {}), batch_of(2), START)
