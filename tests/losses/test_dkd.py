"""Decoupled distillation against plain loops, its identity with KD, its invariances and its limits."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch import Tensor

from tutelage.config.losses.response import DKDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.dkd import DKDTerm, dkd_loss
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, Batch, MixedLabels, ModelOutput, NetworkInfo, TeacherOutput

TEMPERATURES = [0.05, 1.0, 4.0, 100.0]
LABELS = torch.tensor([0, 3, -1, 2, 3])
NOWHERE = NetworkInfo("", (), None, None, {})


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = math.fsum(math.exp(value - top) for value in row)
    return [math.exp(value - top) / total for value in row]


def divergence(p: list[float], q: list[float]) -> float:
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def slow_dkd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    target: float,
    rest: float,
) -> float:
    """The formula of the docstring, row by row; the probabilities of ordinary logits do not vanish."""
    total, count = 0.0, 0
    for mine, theirs, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if y == -1:
            continue
        q = softmax([value / temperature for value in mine])
        p = softmax([value / temperature for value in theirs])
        tckd = divergence([p[y], sum(p) - p[y]], [q[y], sum(q) - q[y]])
        others = [k for k in range(len(p)) if k != y]
        p_rest, q_rest = sum(p[k] for k in others), sum(q[k] for k in others)
        nckd = divergence([p[k] / p_rest for k in others], [q[k] / q_rest for k in others])
        total, count = total + target * tckd + rest * nckd, count + 1
    return temperature**2 * total / max(1, count)


@given(
    batch=st.integers(1, 5),
    classes=st.integers(2, 8),
    seed=st.integers(0, 999),
    temperature=st.sampled_from([1.0, 4.0, 100.0]),
    target=st.sampled_from([0.0, 1.0, 2.5]),
    rest=st.sampled_from([0.0, 0.5, 8.0]),
)
@settings(max_examples=50, deadline=None)
def test_oracle(
    batch: int, classes: int, seed: int, temperature: float, target: float, rest: float
) -> None:
    """The loss equals plain loops in float64, with any labels."""
    student, teacher = numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, classes, (batch,), generator=generator)
    weights = {"temperature": temperature, "target": target, "rest": rest}
    found = dkd_loss(student, teacher, labels, **weights)
    assert found.dtype == torch.float64
    expected = slow_dkd(student, teacher, labels, **weights)
    assert found.item() == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_defaults() -> None:
    """The paper's: T 4, target 1, rest 8."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    expected = slow_dkd(student, teacher, LABELS, temperature=4, target=1, rest=8)
    assert dkd_loss(student, teacher, LABELS).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_identity_with_kd(temperature: float) -> None:
    """KD is target = 1 and rest = 1 - p_y, image by image."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    p = (teacher / temperature).softmax(1)
    for i, y in enumerate(labels.tolist()):
        mine, theirs = student[i : i + 1], teacher[i : i + 1]
        found = dkd_loss(
            mine,
            theirs,
            labels[i : i + 1],
            temperature=temperature,
            rest=1 - p[i, y].item(),
        )
        expected = kd_loss(mine, theirs, temperature=temperature)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("labels", [LABELS, torch.tensor([1, 1, 1, 1, 1])])
def test_gradcheck(labels: Tensor) -> None:
    """Finite differences agree; a row without a label gets exactly nothing."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    loss = functools.partial(dkd_loss, labels=labels)
    assert gradcheck(loss, student, teacher)
    found = gradient(loss, student, teacher)
    assert torch.equal(found.abs().sum(1) == 0, labels == -1)
    spares_the_teacher(loss, student, teacher)


def test_gradient_closed_form() -> None:
    """T / n times target (q_y - p_y) (1, -q') + rest (0, q' - p')."""
    student, teacher = numbers(1, 4), numbers(1, 4, seed=1)
    loss = functools.partial(
        dkd_loss, labels=torch.tensor([0]), temperature=2.0, target=3.0, rest=5.0
    )
    q, p = (student / 2).softmax(1), (teacher / 2).softmax(1)
    q_rest, p_rest = (student[:, 1:] / 2).softmax(1), (teacher[:, 1:] / 2).softmax(1)
    pull = q[:, :1] - p[:, :1]
    expected = 3 * torch.cat((pull, -pull * q_rest), 1)
    expected += 5 * torch.cat((torch.zeros_like(pull), q_rest - p_rest), 1)
    torch.testing.assert_close(gradient(loss, student, teacher), 2 * expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_zero_at_equality(temperature: float) -> None:
    """A student that equals its teacher has a loss of exactly 0."""
    student = numbers(5, 4, scale=3).float()
    assert dkd_loss(student, student.clone(), LABELS, temperature=temperature).item() == 0


def test_invariances() -> None:
    """A constant added to a row, the order of images, and that of classes with labels, do not matter."""
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    expected = dkd_loss(student, teacher, LABELS)
    order = torch.tensor([2, 0, 3, 1])
    renamed = torch.where(LABELS == -1, -1, order.argsort()[LABELS])
    for found in (
        dkd_loss(student + numbers(5, 1, seed=2, scale=50), teacher, LABELS),
        dkd_loss(student, teacher - 30, LABELS),
        dkd_loss(student.flip(0), teacher.flip(0), LABELS.flip(0)),
        dkd_loss(student[:, order], teacher[:, order], renamed),
        dkd_loss(student[LABELS != -1], teacher[LABELS != -1], LABELS[LABELS != -1]),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_teacher_that_is_sure() -> None:
    """Where the target takes all mass, the other classes still teach: KD's share of them is 0."""
    others = torch.tensor([[0.0, 1.0, 2.0]])
    teacher = torch.cat((torch.tensor([[1e4]]), others), 1)
    student = torch.cat((torch.tensor([[1e4]]), others.flip(1)), 1)
    labels = torch.tensor([0])
    p, q = softmax(others[0].tolist()), softmax(others.flip(1)[0].tolist())
    found = dkd_loss(student, teacher, labels, temperature=1, rest=1)
    assert found.item() == pytest.approx(divergence(p, q), rel=1e-5)
    assert kd_loss(student, teacher, temperature=1).item() == 0
    found = gradient(functools.partial(dkd_loss, labels=labels), student, teacher)
    assert found[0, 1:].abs().max() > 0.1


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e4])
def test_finite(temperature: float, spread: float) -> None:
    """Finite for constant rows and logits 1e4 apart, right and wrong, with and without labels."""
    ends = spread * torch.tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    for labels in (torch.tensor([0, 0, 0, -1]), torch.full((4,), -1)):
        loss = functools.partial(dkd_loss, labels=labels, temperature=temperature)
        for teacher in (ends, ends.roll(1, dims=0)):
            finite_in_any_precision(loss, ends, teacher)
            finite_in_any_precision(
                functools.partial(dkd_loss, labels=labels[:1], temperature=temperature),
                ends[:1],
                teacher[:1],
            )


@pytest.mark.parametrize(("classes", "label"), [(1, 0), (1, -1), (4, -1)])
def test_nothing_to_compare(classes: int, label: int) -> None:
    """One class, or no labels, give exactly 0 with a gradient of exactly 0."""
    student, teacher = numbers(3, classes), numbers(3, classes, seed=1)
    loss = functools.partial(dkd_loss, labels=torch.full((3,), label))
    assert loss(student, teacher).item() == 0
    assert torch.equal(gradient(loss, student, teacher), torch.zeros_like(student))


def test_two_classes() -> None:
    """With two classes nothing is left to divide: the first divergence alone, which is KD."""
    student, teacher = numbers(4, 2), numbers(4, 2, seed=1)
    found = dkd_loss(student, teacher, torch.tensor([0, 1, 1, 0]))
    torch.testing.assert_close(found, kd_loss(student, teacher))


@pytest.mark.parametrize(
    ("teacher", "labels"), [((4, 1), (4,)), ((1, 3), (4,)), ((4, 3), (3,)), ((4, 3), (4, 1))]
)
def test_shapes(teacher: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"\[4, 3\]") as caught:
        dkd_loss(torch.zeros(4, 3), torch.zeros(teacher), torch.zeros(labels, dtype=torch.int64))
    assert str(list(labels if teacher == (4, 3) else teacher)) in str(caught.value)
    with pytest.raises(InputError, match="float32"):
        dkd_loss(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("temperature", [0.0, math.nan])
def test_temperature(temperature: float) -> None:
    """A temperature that is not a finite number above 0 is refused, by function and term."""
    with pytest.raises(UsageError, match="temperature"):
        dkd_loss(numbers(1, 2), numbers(1, 2), torch.tensor([0]), temperature=temperature)
    with pytest.raises(UsageError, match="temperature"):
        DKDTerm(temperature)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """Settings reach the function; an image made of two has the label of its larger share."""
    chosen = DKDConfig(temperature=2.0, target=0.5, rest=3.0, standardize=standardize)
    term = DKDTerm.build(chosen, BuildContext(NOWHERE, NOWHERE, 4, 5))
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
        expected = dkd_loss(*prepared, labels, temperature=2.0, target=0.5, rest=3.0)
        assert torch.equal(found, expected)
    assert term.needs == Needs(teacher_logits=True, labels=True)
    assert term.across_batch
    assert not term.state_dict()


def test_term_defaults() -> None:
    """The term's defaults are those of its settings."""
    term, default = DKDTerm(), DKDConfig()
    assert (term.temperature, term.target, term.rest, term.standardize) == (
        default.temperature,
        default.target,
        default.rest,
        default.standardize,
    )
