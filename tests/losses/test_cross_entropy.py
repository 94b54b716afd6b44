"""Cross-entropy with the labels: plain loops, smoothing, unlabelled rows, precision."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from support.examples import examples
from tutelage.errors import InputError, UsageError
from tutelage.losses.cross_entropy import LabelTerm, label_loss
from tutelage.losses.term import Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, MixedLabels, ModelOutput


def made(batch: int, classes: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(-1, classes, (batch,), generator=generator)


def made_mixed(batch: int, classes: int, *, seed: int = 0) -> tuple[Tensor, Tensor, MixedLabels]:
    """Logits, labels, partners' labels, and shares that include 0 and 1."""
    logits, labels = made(batch, classes, seed=seed)
    _, others = made(batch, classes, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(batch, generator=generator)
    share[::3] = share[::3].round()
    return logits, labels, MixedLabels(others, share)


def slow_label(logits: Tensor, labels: Tensor, smoothing: float) -> float:
    """The formula of the docstring, number by number."""
    rows = [pair for pair in zip(logits.tolist(), labels.tolist(), strict=True) if pair[1] >= 0]
    total = 0.0
    for row, label in rows:
        top = max(row)
        norm = top + math.log(math.fsum(math.exp(value - top) for value in row))
        for index, value in enumerate(row):
            target = (1 - smoothing) * (index == label) + smoothing / len(row)
            total -= target * (value - norm)
    return total / max(len(rows), 1)


@given(
    batch=st.integers(1, 8),
    classes=st.integers(1, 12),
    seed=st.integers(0, 999),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
)
@examples(60)
def test_oracle(batch: int, classes: int, seed: int, smoothing: float) -> None:
    """The loss equals plain loops in float64, with any share of rows unlabelled."""
    logits, labels = made(batch, classes, seed=seed)
    found = label_loss(logits, labels, smoothing=smoothing)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(
        slow_label(logits, labels, smoothing), rel=1e-12, abs=1e-12
    )


def test_torch_on_ordinary_inputs() -> None:
    """On labelled rows it is torch's cross-entropy."""
    logits, labels = made(32, 10)
    labels = labels.clamp(min=0)
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        torch.testing.assert_close(label_loss(logits, labels, smoothing=smoothing), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradcheck(smoothing: float) -> None:
    """The gradient equals finite differences in float64, zero on unlabelled rows."""
    logits, labels = made(5, 4)
    labels[0] = -1
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: label_loss(z, labels, smoothing=smoothing), (logits,))
    (gradient,) = torch.autograd.grad(label_loss(logits, labels, smoothing=smoothing), logits)
    assert not gradient[0].any()
    assert gradient[labels >= 0].any()


def test_gradient_closed_form() -> None:
    """The gradient of a labelled row is (softmax - smoothed one-hot) over the labelled rows."""
    logits, labels = made(6, 4)
    labels = labels.clamp(min=0)
    labels[0] = -1
    logits.requires_grad_()
    (found,) = torch.autograd.grad(label_loss(logits, labels, smoothing=0.2), logits)
    target = 0.8 * F.one_hot(labels.clamp(min=0), 4) + 0.2 / 4
    expected = (logits.detach().softmax(1) - target) / 5
    expected[0] = 0
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_label_at_all(precision: torch.dtype, smoothing: float) -> None:
    """A batch without labels gives exactly 0 with a gradient of exactly 0."""
    logits = made(3, 4)[0].to(precision).requires_grad_()
    loss = label_loss(logits, torch.full((3,), -1), smoothing=smoothing)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert not gradient.any()


def test_unlabelled_rows_do_not_count() -> None:
    """Rows without a label change neither the value nor the mean's divisor."""
    logits, labels = made(20, 5)
    labelled = labels >= 0
    assert 0 < labelled.sum() < 20
    torch.testing.assert_close(
        label_loss(logits, labels), label_loss(logits[labelled], labels[labelled])
    )


def test_invariances() -> None:
    """A constant added to a row, the order of the batch and the order of classes do not matter."""
    logits, labels = made(8, 5)
    expected = label_loss(logits, labels, smoothing=0.1)
    rows, columns = torch.arange(8).flip(0), torch.arange(5).roll(2)
    moved = torch.where(labels < 0, labels, (labels + 2) % 5)
    for found in (
        label_loss(logits + torch.arange(8)[:, None], labels, smoothing=0.1),
        label_loss(logits[rows], labels[rows], smoothing=0.1),
        label_loss(logits[:, columns], moved, smoothing=0.1),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


@given(
    batch=st.integers(1, 8),
    classes=st.integers(1, 12),
    seed=st.integers(0, 999),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
)
@examples(60)
def test_mixed_oracle(batch: int, classes: int, seed: int, smoothing: float) -> None:
    """With two labels, it is the mean over rows that have both of the two losses, by their shares."""
    logits, labels, mixed = made_mixed(batch, classes, seed=seed)
    losses = []
    for row, label, other, share in zip(logits, labels, *mixed, strict=True):
        if label >= 0 and other >= 0:
            one, two = (slow_label(row[None], y[None], smoothing) for y in (label, other))
            losses.append(float(share) * one + (1 - float(share)) * two)
    found = label_loss(logits, labels, smoothing=smoothing, mixed=mixed)
    expected = math.fsum(losses) / max(len(losses), 1)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_mixed_targets() -> None:
    """It is torch's cross-entropy with the mixed target distribution."""
    logits, labels, mixed = made_mixed(30, 7)
    labels, mixed = labels.clamp(min=0), mixed._replace(labels=mixed.labels.clamp(min=0))
    share = mixed.share[:, None].double()
    target = share * F.one_hot(labels, 7) + (1 - share) * F.one_hot(mixed.labels, 7)
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(logits, target, label_smoothing=smoothing)
        found = label_loss(logits, labels, smoothing=smoothing, mixed=mixed)
        torch.testing.assert_close(found, expected)


def test_mixed_invariances() -> None:
    """Swapping the two changes nothing; a partner of the same class, or of no share, is not there."""
    logits, labels, mixed = made_mixed(12, 5)
    swapped = label_loss(logits, mixed.labels, mixed=MixedLabels(labels, 1 - mixed.share.double()))
    torch.testing.assert_close(label_loss(logits, labels, mixed=mixed), swapped)
    labels = labels.clamp(min=0)
    plain = label_loss(logits, labels)
    torch.testing.assert_close(
        label_loss(logits, labels, mixed=MixedLabels(labels, mixed.share)), plain
    )
    others = mixed.labels.clamp(min=0)
    for share, own in ((1.0, labels), (0.0, others)):
        found = label_loss(logits, labels, mixed=MixedLabels(others, torch.full((12,), share)))
        torch.testing.assert_close(found, label_loss(logits, own))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_gradcheck(smoothing: float) -> None:
    """The gradient equals finite differences, and is zero where either label is unknown."""
    logits, labels, mixed = made_mixed(6, 4)
    labels[0], mixed.labels[1] = -1, -1
    labels[2:], mixed.labels[2:] = labels[2:].clamp(min=0), mixed.labels[2:].clamp(min=0)
    logits.requires_grad_()

    def loss(z: Tensor) -> Tensor:
        return label_loss(z, labels, smoothing=smoothing, mixed=mixed)

    assert torch.autograd.gradcheck(loss, (logits,))
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    assert not gradient[:2].any()
    assert bool(gradient[2:].any(dim=1).all())


def test_mixed_without_labels() -> None:
    """No row with both labels known: exactly 0, gradient exactly 0."""
    logits = torch.zeros(3, 4, requires_grad=True)
    mixed = MixedLabels(torch.tensor([0, -1, -1]), torch.tensor([0.0, 1.0, 0.5]))
    loss = label_loss(logits, torch.tensor([-1, 2, -1]), mixed=mixed)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert not gradient.any()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_mixed_finite(precision: torch.dtype) -> None:
    """Logits 1e4 apart and shares of 0 and 1 give finite values and gradients, in fp32."""
    logits = (1e4 * torch.tensor([[1, -1, 0]] * 4)).to(precision).requires_grad_()
    mixed = MixedLabels(torch.tensor([1, 1, -1, 2]), torch.tensor([0.0, 1.0, 0.0, 0.5]))
    loss = label_loss(logits, torch.tensor([0, 0, 1, -1]), mixed=mixed)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.dtype == torch.float32
    assert bool(torch.isfinite(loss) & torch.isfinite(gradient).all())


def test_mixed_shapes() -> None:
    """Partners' labels and shares must fit the logits, with both shapes printed."""
    logits, labels = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    share = torch.ones(4)
    for mixed, shape in (
        (MixedLabels(labels[:3], share), "[3]"),
        (MixedLabels(labels, share[:2]), "[2]"),
        (MixedLabels(labels.int(), share), "int32"),
        (MixedLabels(labels, labels), "int64"),
    ):
        with pytest.raises(InputError) as caught:
            label_loss(logits, labels, mixed=mixed)
        assert shape in str(caught.value)
        assert "[4, 3]" in str(caught.value)


def test_uniform_closed_form() -> None:
    """Equal logits cost log C, whatever the smoothing."""
    for smoothing in (0.0, 0.3):
        found = label_loss(torch.zeros(4, 10), torch.arange(4), smoothing=smoothing)
        assert found.item() == pytest.approx(math.log(10), rel=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_finite(precision: torch.dtype, smoothing: float) -> None:
    """Value and gradient are finite for logits 1e4 apart, under autocast too; the value is fp32."""
    ends = 1e4 * torch.tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    for enabled in (False, True):
        logits = ends.to(precision).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = label_loss(logits, torch.tensor([1, 1, -1]), smoothing=smoothing)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("logits", "labels"), [((4, 10), (3,)), ((4, 10), (4, 1)), ((10,), (10,)), ((4, 10), ())]
)
def test_shapes(logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """Shapes that do not fit are refused with both printed."""
    with pytest.raises(InputError) as caught:
        label_loss(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))
    assert str(list(logits)) in str(caught.value)
    assert str(list(labels)) in str(caught.value)


def test_label_type() -> None:
    """Labels that are not int64 are refused."""
    with pytest.raises(InputError, match="int32"):
        label_loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int32))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_smoothing(smoothing: float) -> None:
    """Smoothing outside [0, 1) is refused, by function and term."""
    with pytest.raises(UsageError, match="smoothing"):
        label_loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), smoothing=smoothing)
    with pytest.raises(UsageError, match="smoothing"):
        LabelTerm(smoothing)


def test_term() -> None:
    """The term compares the student's logits with the batch's labels, and needs no teacher."""
    logits, labels = made(4, 10)
    images = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    term = LabelTerm(smoothing=0.1)
    found = term(
        ModelOutput(logits, {}), NO_TEACHER_OUTPUT, Batch(images, labels, torch.arange(4), 0), START
    )
    assert torch.equal(found, label_loss(logits, labels, smoothing=0.1))
    mixed = MixedLabels(labels.roll(1), torch.full((4,), 0.25))
    found = term(
        ModelOutput(logits, {}),
        NO_TEACHER_OUTPUT,
        Batch(images, labels, torch.arange(4), 0, mixed),
        START,
    )
    assert torch.equal(found, label_loss(logits, labels, smoothing=0.1, mixed=mixed))
    assert term.needs == Needs(labels=True)
    assert not list(term.parameters())
