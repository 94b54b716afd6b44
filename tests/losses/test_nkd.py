"""Normalised distillation against plain loops, its gradient, its invariances and its limits."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import NKDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.dkd import dkd_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.response.nkd import NKDTerm, nkd_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, Batch, MixedLabels, ModelOutput, NetworkInfo, TeacherOutput

TEMPERATURES = [0.05, 1.0, 4.0, 100.0]
LABELS = torch.tensor([0, 3, -1, 2, 3])
NOWHERE = NetworkInfo("", (), None, None, {})


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = math.fsum(math.exp(value - top) for value in row)
    return [math.exp(value - top) / total for value in row]


def slow_nkd(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, rest: float
) -> float:
    """The formula of the docstring, row by row; the probabilities of ordinary logits do not vanish."""
    total, count = 0.0, 0
    for mine, theirs, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if y == -1:
            continue
        of_target = -softmax(theirs)[y] * math.log(softmax(mine)[y])
        q = softmax([value / temperature for k, value in enumerate(mine) if k != y])
        p = softmax([value / temperature for k, value in enumerate(theirs) if k != y])
        of_others = -math.fsum(a * math.log(b) for a, b in zip(p, q, strict=True))
        total, count = total + of_target + rest * temperature**2 * of_others, count + 1
    return total / max(1, count)


@given(
    batch=st.integers(1, 5),
    classes=st.integers(2, 8),
    seed=st.integers(0, 999),
    temperature=st.sampled_from([1.0, 4.0, 100.0]),
    rest=st.sampled_from([0.0, 0.5, 1.5]),
)
@settings(max_examples=50, deadline=None)
def test_oracle(batch: int, classes: int, seed: int, temperature: float, rest: float) -> None:
    """The loss equals plain loops in float64, with any labels."""
    student, teacher = numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, classes, (batch,), generator=generator)
    found = nkd_loss(student, teacher, labels, temperature=temperature, rest=rest)
    assert found.dtype == torch.float64
    expected = slow_nkd(student, teacher, labels, temperature=temperature, rest=rest)
    assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_defaults() -> None:
    """The paper's: T 1, rest 1.5."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    expected = slow_nkd(student, teacher, LABELS, temperature=1, rest=1.5)
    assert nkd_loss(student, teacher, LABELS).item() == pytest.approx(expected, rel=1e-10)


def test_sure_teacher_is_cross_entropy() -> None:
    """The first part is the label's cross-entropy, weighted by p_y: all of it for a teacher that is sure."""
    student, labels = numbers(4, 3), torch.tensor([0, 1, 2, 1])
    sure = 1e3 * F.one_hot(labels, 3).double()
    found = nkd_loss(student, sure, labels, rest=0)
    torch.testing.assert_close(found, F.cross_entropy(student, labels))
    undecided = nkd_loss(student, torch.zeros_like(sure), labels, rest=0)
    torch.testing.assert_close(undecided, found / 3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_others_are_those_of_dkd(temperature: float) -> None:
    """The other classes pull as in DKD: a cross-entropy is the divergence and a constant."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    alone = functools.partial(nkd_loss, labels=LABELS, temperature=temperature, rest=0)
    whole = functools.partial(nkd_loss, labels=LABELS, temperature=temperature, rest=2)
    other = functools.partial(dkd_loss, labels=LABELS, temperature=temperature, target=0, rest=2)
    found = gradient(whole, student, teacher) - gradient(alone, student, teacher)
    torch.testing.assert_close(found, gradient(other, student, teacher))


@pytest.mark.parametrize("labels", [LABELS, torch.tensor([1, 1, 1, 1, 1])])
def test_gradcheck(labels: Tensor) -> None:
    """Finite differences agree; a row without a label gets exactly nothing."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    loss = functools.partial(nkd_loss, labels=labels, temperature=2.0)
    assert gradcheck(loss, student, teacher)
    found = gradient(loss, student, teacher)
    assert torch.equal(found.abs().sum(1) == 0, labels == -1)
    spares_the_teacher(loss, student, teacher)


def test_gradient_at_equality() -> None:
    """Equal networks: the others rest, and the target is still pulled up, by p_y (q - onehot) / n."""
    student, labels = numbers(4, 3), torch.tensor([0, 1, 2, 1])
    found = gradient(functools.partial(nkd_loss, labels=labels), student, student)
    q = student.softmax(1)
    expected = q.gather(1, labels[:, None]) * (q - F.one_hot(labels, 3)) / 4
    torch.testing.assert_close(found, expected)


def test_invariances() -> None:
    """A constant added to a row, the order of images, and that of classes with labels, do not matter."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    expected = nkd_loss(student, teacher, LABELS, temperature=2.0)
    order = torch.tensor([2, 0, 3, 1])
    renamed = torch.where(LABELS == -1, -1, order.argsort()[LABELS])
    known = LABELS != -1
    for mine, theirs, labels in (
        (student + numbers(5, 1, seed=2, scale=50), teacher, LABELS),
        (student, teacher - 30, LABELS),
        (student.flip(0), teacher.flip(0), LABELS.flip(0)),
        (student[:, order], teacher[:, order], renamed),
        (student[known], teacher[known], LABELS[known]),
    ):
        found = nkd_loss(mine, theirs, labels, temperature=2.0)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e4])
def test_finite(temperature: float, spread: float) -> None:
    """Finite for constant rows and logits 1e4 apart, right and wrong, with and without labels."""
    ends = spread * torch.tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    for labels in (torch.tensor([0, 0, 0, -1]), torch.full((4,), -1)):
        loss = functools.partial(nkd_loss, labels=labels, temperature=temperature)
        for teacher in (ends, ends.roll(1, dims=0)):
            finite_in_any_precision(loss, ends, teacher)
            finite_in_any_precision(
                functools.partial(nkd_loss, labels=labels[:1], temperature=temperature),
                ends[:1],
                teacher[:1],
            )


@pytest.mark.parametrize(("classes", "label"), [(1, 0), (1, -1), (4, -1)])
def test_nothing_to_compare(classes: int, label: int) -> None:
    """One class, or no labels, give exactly 0 with a gradient of exactly 0."""
    student, teacher = numbers(3, classes), numbers(3, classes, seed=1)
    loss = functools.partial(nkd_loss, labels=torch.full((3,), label))
    assert loss(student, teacher).item() == 0
    assert torch.equal(gradient(loss, student, teacher), torch.zeros_like(student))


@pytest.mark.parametrize(
    ("teacher", "labels"), [((4, 1), (4,)), ((1, 3), (4,)), ((4, 3), (3,)), ((4, 3), (4, 1))]
)
def test_shapes(teacher: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"\[4, 3\]") as caught:
        nkd_loss(torch.zeros(4, 3), torch.zeros(teacher), torch.zeros(labels, dtype=torch.int64))
    assert str(list(labels if teacher == (4, 3) else teacher)) in str(caught.value)
    with pytest.raises(InputError, match="float32"):
        nkd_loss(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("temperature", [0.0, math.inf])
def test_temperature(temperature: float) -> None:
    """A temperature that is not a finite number above 0 is refused, by function and term."""
    with pytest.raises(UsageError, match="temperature"):
        nkd_loss(numbers(1, 2), numbers(1, 2), torch.tensor([0]), temperature=temperature)
    with pytest.raises(UsageError, match="temperature"):
        NKDTerm(temperature)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """Settings reach the function; an image made of two has the label of its larger share."""
    chosen = NKDConfig(temperature=2.0, rest=3.0, standardize=standardize)
    term = NKDTerm.build(chosen, BuildContext(NOWHERE, NOWHERE, 4, 5))
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    images, ids = torch.zeros(5, 3, 1, 1, dtype=torch.uint8), torch.arange(5)
    other = torch.tensor([1, 1, 1, -1, 0])
    mixed = MixedLabels(other, torch.tensor([0.7, 0.3, 0.2, 0.1, 0.5]))
    prepared = [standardized(x) if standardize else x for x in (student, teacher)]
    for batch, labels in (
        (Batch(images, LABELS, ids, 0), LABELS),
        (Batch(images, LABELS, ids, 0, mixed), torch.tensor([0, 1, 1, -1, 3])),
    ):
        found = term(ModelOutput(student, {}), TeacherOutput(teacher, {}), batch, START)
        assert torch.equal(found, nkd_loss(*prepared, labels, temperature=2.0, rest=3.0))
    assert term.needs == Needs(teacher_logits=True, labels=True)
    assert term.across_batch
    assert not term.state_dict()


def test_term_defaults() -> None:
    """The term's defaults are those of its settings."""
    term, default = NKDTerm(), NKDConfig()
    assert (term.temperature, term.rest, term.standardize) == (
        default.temperature,
        default.rest,
        default.standardize,
    )
