"""KD++: norm and direction against plain loops, its invariances, the running class means, its refusals."""

import math

import pytest
import torch
from torch import Tensor, nn

from support.losses.checks import (
    batch_of,
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    pair,
    spares_the_teacher,
    term_loss,
)
from support.losses.tester import LossTester
from tutelage.config.losses.feature import KDPPConfig
from tutelage.errors import InputError
from tutelage.losses.feature.kdpp import ClassMeanEMA, KDPPTerm, kdpp_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import Batch, FeaturePoint, MixedLabels, NetworkInfo

MEANS = numbers(4, 5, seed=7)
LABELS = torch.tensor([0, 2, -1, 2, 3, 0])


def loss(student: Tensor, teacher: Tensor) -> Tensor:
    return kdpp_loss(student, teacher, MEANS, LABELS[: len(student)])


def oracle(student: Tensor, teacher: Tensor, means: Tensor, labels: Tensor) -> float:
    """One image after the other, number by number."""
    found = []
    for s, t, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            mean = means[label].tolist()
            along = sum(a * b for a, b in zip(s, mean, strict=True)) / math.hypot(*mean)
            found.append(1 - along / max(math.hypot(*s), math.hypot(*t)))
    return sum(found) / len(found) if found else 0.0


class TestKDPP(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(loss)
    name = "kdpp"
    shapes = (((6, 5), (6, 5)),)
    equality = None  # the direction is that of the class, not the teacher's
    scales = (1e-6, 1e-4, 1.0, 1e4)
    both = (lambda x: 7 * x,)
    teacher = (lambda x: x @ torch.linalg.qr(numbers(5, 5, seed=4)).Q,)  # its length counts
    refused = (((2, 5), (1, 5)), ((2, 5, 1, 1), (2, 5, 1, 1)))


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_oracle(count: int, scale: float) -> None:
    """Student shorter, about as long, and longer than the teacher; unknown labels left out."""
    student, teacher = numbers(count, 5, scale=scale), numbers(count, 5, seed=1)
    expected = oracle(student, teacher, MEANS, LABELS[:count])
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_zero() -> None:
    """0 where the student has its class's direction and is no shorter than the teacher; 2 opposite to it."""
    labels = LABELS.clamp(min=0)
    teacher = numbers(6, 5)
    along = MEANS[labels] / MEANS[labels].norm(dim=1, keepdim=True)
    length = teacher.norm(dim=1, keepdim=True)
    for longer in (1.0, 3.0):
        found = kdpp_loss(along * length * longer, teacher, MEANS, labels)
        assert found.item() == pytest.approx(0, abs=1e-12)
    opposite = kdpp_loss(-along * length, teacher, MEANS, labels)
    assert opposite.item() == pytest.approx(2, rel=1e-12)
    half = kdpp_loss(along * length / 2, teacher, MEANS, labels)
    assert half.item() == pytest.approx(0.5, rel=1e-12)


def test_gradient() -> None:
    """Finite differences agree on both sides; the short student grows, the long one only turns."""
    teacher = numbers(6, 5, seed=1)
    short, long = numbers(6, 5, scale=0.1), numbers(6, 5, scale=10)
    for student in (short, long):
        assert gradcheck(loss, student, teacher)
        spares_the_teacher(loss, student, teacher)
    along = MEANS[LABELS] / MEANS[LABELS].norm(dim=1, keepdim=True)
    expected = -along / teacher.norm(dim=1, keepdim=True) / 5
    expected[2] = 0
    torch.testing.assert_close(gradient(loss, short, teacher), expected)
    outward = (gradient(loss, long, teacher) * long).sum(1)
    torch.testing.assert_close(outward, torch.zeros(6, dtype=torch.float64))
    means = MEANS.clone().requires_grad_()
    torch.autograd.backward(kdpp_loss(short.requires_grad_(), teacher, means, LABELS))
    assert means.grad is None


def test_invariances() -> None:
    """A rotation, the means' lengths and the order do not matter."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    expected = loss(student, teacher)
    turn = torch.linalg.qr(numbers(5, 5, seed=4)).Q
    turned = kdpp_loss(student @ turn, teacher @ turn, MEANS @ turn, LABELS)
    torch.testing.assert_close(turned, expected)
    lengths = torch.tensor([[0.1], [2.0], [30.0], [4.0]], dtype=torch.float64)
    torch.testing.assert_close(kdpp_loss(student, teacher, MEANS * lengths, LABELS), expected)
    flipped = kdpp_loss(student.flip(0), teacher.flip(0), MEANS, LABELS.flip(0))
    torch.testing.assert_close(flipped, expected)


def test_unknown_labels() -> None:
    """Left out as if they were not there; without any known one, exactly 0 with zero gradient."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    known = LABELS >= 0
    alone = kdpp_loss(student[known], teacher[known], MEANS, LABELS[known])
    torch.testing.assert_close(loss(student, teacher), alone)
    assert gradient(loss, student, teacher)[2].abs().max() == 0

    def none(student: Tensor, teacher: Tensor) -> Tensor:
        return kdpp_loss(student, teacher, MEANS, torch.full((6,), -1))

    assert none(student, teacher).item() == 0
    assert gradient(none, student, teacher).abs().max() == 0


def test_class_never_seen() -> None:
    """A mean of 0 has no direction: its images count 1 and pull nowhere."""
    means = MEANS.clone()
    means[2] = 0
    student, teacher = numbers(2, 5), numbers(2, 5, seed=1)
    labels = torch.tensor([2, 2])

    def unseen(student: Tensor, teacher: Tensor) -> Tensor:
        return kdpp_loss(student, teacher, means, labels)

    assert unseen(student, teacher).item() == 1
    assert gradient(unseen, student, teacher).abs().max() == 0
    finite_in_any_precision(unseen, student, teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "means", "labels"),
    [
        ((2, 3), (1, 3), (4, 3), 2),
        ((2, 3), (2, 3), (4, 1), 2),
        ((2, 3), (2, 3), (4, 3), 1),
        ((2, 3, 1, 1), (2, 3, 1, 1), (4, 3), 2),
    ],
)
def test_shapes(
    student: tuple[int, ...], teacher: tuple[int, ...], means: tuple[int, ...], labels: int
) -> None:
    """Whatever does not fit is refused with its shape; nothing is broadcast."""
    with pytest.raises(InputError, match=r"kdpp(.|\n)*\[\d"):
        kdpp_loss(
            torch.zeros(student),
            torch.zeros(teacher),
            torch.zeros(means),
            torch.zeros(labels, dtype=torch.int64),
        )


def test_class_means() -> None:
    """Each class of a batch moves to the mean of its vectors; others, and unknown labels, change nothing."""
    means, expected = ClassMeanEMA(4, 5, momentum=0.75), torch.zeros(4, 5)
    batches = [LABELS, torch.tensor([3, 3, -1, -1, 0, 3]), torch.full((6,), -1), LABELS.flip(0)]
    for seed, labels in enumerate(batches):
        vectors = numbers(6, 5, seed=seed).float()
        means.update(vectors, labels)
        for k in range(4):
            of_class = [v for v, y in zip(vectors, labels.tolist(), strict=True) if y == k]
            if of_class:
                mean = sum(of_class[1:], of_class[0]) / len(of_class)
                expected[k] = 0.75 * expected[k] + 0.25 * mean
    torch.testing.assert_close(means.means, expected)
    assert means.means[1].abs().max() == 0
    assert means.means[0].abs().max() > 0


def test_class_means_keep_the_direction() -> None:
    """A class seen for the first time has the direction of its vectors at once, whatever the momentum."""
    means = ClassMeanEMA(2, 5, momentum=0.99)
    vector = numbers(1, 5).float()
    means.update(vector.requires_grad_(), torch.tensor([1]))
    cosine = torch.cosine_similarity(means.means[1:], vector)
    assert cosine.item() == pytest.approx(1, rel=1e-6)
    assert not means.means.requires_grad


def test_class_means_in_half_precision() -> None:
    """Vectors of half precision under autocast are averaged in fp32."""
    vectors = torch.tensor([[60000.0], [60001.0], [2.0]]).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        means = ClassMeanEMA(2, 1, momentum=0.0)
        means.update(vectors, torch.tensor([0, 0, 1]))
    assert means.means.dtype == torch.float32
    assert means.means.flatten().tolist() == [60000.0, 2.0]


def build(student: int, teacher: int, momentum: float = 0.9) -> KDPPTerm:
    nets = [
        NetworkInfo("Net", (), FeaturePoint(path, (width,)), None, {path: (width,)})
        for path, width in (("a", student), ("b", teacher))
    ]
    return KDPPTerm.build(
        KDPPConfig(momentum=momentum), BuildContext(nets[0], nets[1], classes=4, images=9)
    )


def test_build() -> None:
    """The vectors and labels are asked for, a mean for each class is kept, and settings reach it."""
    term = build(3, 5, momentum=0.5)
    assert term.needs == Needs(labels=True, student_points=("a",), teacher_vectors=("b",))
    assert term.across_batch
    assert term.classes[0].means.shape == (4, 5)
    assert term.classes[0].momentum == 0.5
    assert KDPPTerm([pair((3,), (5,))], 4).classes[0].momentum == KDPPConfig().momentum
    assert isinstance(term.connectors[0], nn.Linear)
    assert isinstance(build(5, 5).connectors[0], nn.Identity)


def test_term() -> None:
    """The means move before they are used, in training alone; the connector learns."""
    term = build(3, 5)
    mine, theirs = numbers(6, 3).float().requires_grad_(), numbers(6, 5, seed=1).float()
    batch = batch_of(6)._replace(labels=LABELS)
    found = term_loss(term, mine, theirs, batch)
    means = ClassMeanEMA(4, 5, momentum=0.9)
    means.update(theirs, LABELS)
    torch.testing.assert_close(term.classes[0].means, means.means)
    expected = kdpp_loss(term.connectors[0](mine), theirs, means.means, LABELS)
    torch.testing.assert_close(found, expected)
    torch.autograd.backward(found)
    assert mine.grad is not None
    assert mine.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())
    term.eval()
    term_loss(term, mine, 3 * theirs, batch)
    torch.testing.assert_close(term.classes[0].means, means.means)


def test_two_steps_before_backward() -> None:
    """The means may move on before the gradient of an earlier loss is taken."""
    term = build(5, 5)
    mine, theirs = numbers(6, 5).float().requires_grad_(), numbers(6, 5, seed=1).float()
    total = term_loss(term, mine, theirs) + term_loss(term, mine, theirs.flip(0))
    torch.autograd.backward(total)
    assert mine.grad is not None


def test_mixtures() -> None:
    """Of a mixture of two images the larger share's label counts."""
    term = build(5, 5)
    mixed = MixedLabels(torch.tensor([1, 1]), torch.tensor([0.7, 0.3]))
    batch = Batch(torch.zeros(2, 3, 1, 1), torch.tensor([3, 3]), torch.arange(2), 0, mixed)
    theirs = numbers(2, 5, seed=1).float()
    term_loss(term, numbers(2, 5).float(), theirs, batch)
    expected = torch.zeros(4, 5)
    expected[3], expected[1] = 0.1 * theirs[0], 0.1 * theirs[1]
    torch.testing.assert_close(term.classes[0].means, expected)


def test_maps_and_tokens() -> None:
    """Maps and tokens are averaged over their places."""
    term = KDPPTerm([pair((3, 2, 2), (7, 5))], 4)
    mine, theirs = numbers(6, 3, 2, 2).float(), numbers(6, 7, 5, seed=1).float()
    found = term_loss(term, mine, theirs)
    labels = batch_of(6).labels
    means = ClassMeanEMA(4, 5, momentum=0.9)
    means.update(theirs.mean(1), labels)
    connected = term.connectors[0](mine.mean((2, 3)))
    torch.testing.assert_close(found, kdpp_loss(connected, theirs.mean(1), means.means, labels))


def test_state() -> None:
    """Connector and class means are in the state, and another term that loads it says the same."""
    one, other = build(3, 5), build(3, 5)
    mine, theirs = numbers(6, 3).float(), numbers(6, 5, seed=1).float()
    term_loss(one, mine, theirs)
    other.load_state_dict(one.state_dict())
    for term in (one, other):
        term.eval()
    assert one.classes[0].means.abs().max() > 0
    torch.testing.assert_close(term_loss(one, mine, theirs), term_loss(other, mine, theirs))
