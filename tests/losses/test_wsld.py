"""Weighted soft labels against plain loops, its weight's limits, unlabelled rows, refusals, its term."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.losses.response import WSLDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.response.wsld import WSLDTerm, wsld_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import (
    NO_TEACHER_OUTPUT,
    START,
    Batch,
    MixedLabels,
    ModelOutput,
    NetworkInfo,
    TeacherOutput,
)

NOTHING = NetworkInfo("net", (), None, None, {})
GROUND = BuildContext(NOTHING, NOTHING, classes=5, images=9)
TEMPERATURES = [0.05, 0.5, 1.0, 4.0, 20.0, 100.0]


def labels_of(batch: int, classes: int, *, seed: int = 0, lowest: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(lowest, classes, (batch,), generator=generator)


def log_softmax(row: list[float], temperature: float = 1.0) -> list[float]:
    row = [value / temperature for value in row]
    norm = max(row) + math.log(math.fsum(math.exp(value - max(row)) for value in row))
    return [value - norm for value in row]


def slow_wsld(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> float:
    """The formula of the docstring, number by number; ordinary logits only."""
    rows = []
    for s, t, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if label < 0:
            continue
        log_q, log_p = log_softmax(s, temperature), log_softmax(t, temperature)
        kl = math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True))
        ratio = log_softmax(s)[label] / log_softmax(t)[label] if len(s) > 1 else 1.0
        rows.append((1 - math.exp(-ratio)) * kl)
    return temperature**2 * math.fsum(rows) / max(1, len(rows))


def share(student: list[float], teacher: list[float], dtype: torch.dtype = torch.float32) -> float:
    """The weight of an image of class 0: the loss, as a share of the same without weights."""
    mine, theirs = torch.tensor([student], dtype=dtype), torch.tensor([teacher], dtype=dtype)
    # So soft that the divergence, too, is above 0 in fp32.
    temperature = max(2.0, student[0] / 10, teacher[0] / 10)
    found = wsld_loss(mine, theirs, torch.tensor([0]), temperature=temperature)
    return (found / kd_loss(mine, theirs, temperature=temperature)).item()


@given(
    batch=st.integers(1, 6),
    classes=st.integers(1, 9),
    seed=st.integers(0, 999),
    temperature=st.sampled_from(TEMPERATURES),
)
@settings(max_examples=60, deadline=None)
def test_oracle(batch: int, classes: int, seed: int, temperature: float) -> None:
    """The loss equals plain loops in float64, with any share of rows unlabelled."""
    student, teacher = numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)
    labels = labels_of(batch, classes, seed=seed, lowest=-1)
    found = wsld_loss(student, teacher, labels, temperature=temperature).item()
    assert found == pytest.approx(
        slow_wsld(student, teacher, labels, temperature), rel=1e-9, abs=1e-9
    )
    assert found >= -1e-10


def test_default() -> None:
    """T is 2, as in the settings."""
    student, teacher, labels = numbers(4, 5), numbers(4, 5, seed=1), labels_of(4, 5)
    expected = wsld_loss(student, teacher, labels, temperature=2.0)
    assert torch.equal(wsld_loss(student, teacher, labels), expected)
    assert WSLDConfig().temperature == 2.0


def test_relation_to_the_authors_code() -> None:
    """Its weighted cross-entropy with the soft labels has the same gradient, as the weights are constants."""
    student, teacher, labels = numbers(6, 5), numbers(6, 5, seed=1), labels_of(6, 5)
    student.requires_grad_()
    ce = [F.cross_entropy(z.detach(), labels, reduction="none") for z in (student, teacher)]
    weights = 1 - torch.exp(-ce[0] / (ce[1] + 1e-7))
    soft = F.cross_entropy(student / 2, (teacher / 2).softmax(1), reduction="none")
    (expected,) = torch.autograd.grad(4 * (weights * soft).mean(), student)
    found = gradient(lambda s, t: wsld_loss(s, t, labels), student, teacher)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_gradient() -> None:
    """It is kd's, row by row, times the weight: the weight is a constant to it."""
    student, teacher, labels = numbers(3, 5), numbers(3, 5, seed=1), torch.tensor([4, -1, 0])
    found = gradient(lambda s, t: wsld_loss(s, t, labels), student, teacher)
    ce = [F.cross_entropy(z, labels.clamp(min=0), reduction="none") for z in (student, teacher)]
    weights = (1 - torch.exp(-ce[0] / ce[1])) * torch.tensor([1, 0, 1])
    # Three rows in kd's mean, two in this one.
    expected = (
        gradient(partial(kd_loss, temperature=2.0), student, teacher) * weights[:, None] * 1.5
    )
    torch.testing.assert_close(found, expected)
    spares_the_teacher(lambda s, t: wsld_loss(s, t, labels), student, teacher)


def test_gradcheck() -> None:
    """Finite differences agree where the weight is at its bound, and so cannot move."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    labels = teacher.argmax(1)
    teacher = teacher + 60 * F.one_hot(labels, 5)
    assert gradcheck(lambda s, t: wsld_loss(s, t, labels, temperature=20.0), student, teacher)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [1.0, 20.0, 50.0, 500.0, 1e4])
def test_weight_of_the_sure(margin: float, dtype: torch.dtype) -> None:
    """Networks equally sure of the label weigh 1 - 1/e, however sure: no 0 / 0."""
    # The same cross-entropy, and other classes in another order, so that there is something to learn.
    found = share([margin, 0.0, 4.0], [margin, 4.0, 0.0], dtype)
    assert found == pytest.approx(1 - math.exp(-1), rel=1e-5)
    same = torch.tensor([[margin, 0.0, 4.0]], dtype=dtype)
    assert wsld_loss(same, same, torch.tensor([0])).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [30.0, 45.0, 300.0])
def test_weight_between_two_sure(margin: float, dtype: torch.dtype) -> None:
    """Margins whose cross-entropies are 0 in fp32 still tell who is surer, by the powers of e."""
    for lead in (-3.0, 0.5, 2.0):
        found = share([margin, 0.0, -lead], [margin, -lead, -lead], dtype)
        expected = (1 + math.exp(-lead)) / (2 * math.exp(-lead))
        assert found == pytest.approx(1 - math.exp(-expected), rel=1e-3)


@pytest.mark.parametrize(("mine", "theirs"), [(12.0, 12.5), (11.0, 9.0), (41.0, 39.5), (60, 59)])
def test_weight_of_two_classes(mine: float, theirs: float) -> None:
    """The closed form log(1 + e^-margin), to many digits on both sides of where the formula changes."""
    fraction = math.log1p(math.exp(-mine)) / math.log1p(math.exp(-theirs))
    found = share([mine, 0.0], [theirs, 0.0], torch.float64)
    assert found == pytest.approx(1 - math.exp(-fraction), rel=1e-11)


def test_limits_of_the_weight() -> None:
    """1 where the teacher is sure and the student is not, 0 the other way round."""
    assert share([0.0, 1.0, 0.0], [1e4, 0.0, 0.0]) == pytest.approx(1.0)
    assert share([1e4, 0.0, 0.0], [0.0, 1.0, 0.0]) == 0.0


def test_weights_lie_between_0_and_1() -> None:
    """Row by row the loss is no more than kd's."""
    for seed in range(20):
        student, teacher = numbers(1, 5, seed=seed, scale=9), numbers(1, 5, seed=seed + 99, scale=9)
        found = wsld_loss(student, teacher, torch.tensor([seed % 5]))
        assert 0 <= found.item() <= kd_loss(student, teacher, temperature=2.0).item() * (1 + 1e-12)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_no_label_at_all(precision: torch.dtype) -> None:
    """A batch without labels gives exactly 0 with a gradient of exactly 0."""
    student, teacher = numbers(3, 4).to(precision), numbers(3, 4, seed=1).to(precision)
    unknown = torch.full((3,), -1)
    assert wsld_loss(student, teacher, unknown).item() == 0
    assert not gradient(lambda s, t: wsld_loss(s, t, unknown), student, teacher).any()


def test_unlabelled_rows_do_not_count() -> None:
    """They change neither the value nor the mean's divisor."""
    student, teacher = numbers(20, 5), numbers(20, 5, seed=1)
    labels = labels_of(20, 5, lowest=-1)
    known = labels >= 0
    assert 0 < known.sum() < 20
    expected = wsld_loss(student[known], teacher[known], labels[known])
    torch.testing.assert_close(wsld_loss(student, teacher, labels), expected)


def test_invariances() -> None:
    """0 at equality; a constant on a row and the order of rows and classes do not matter."""
    student, teacher, labels = numbers(4, 5), numbers(4, 5, seed=1), labels_of(4, 5)
    assert wsld_loss(student, student, labels).item() == 0
    expected = wsld_loss(student, teacher, labels)
    shift = numbers(4, 1, seed=2, scale=50)
    for found in (
        wsld_loss(student.flip(0), teacher.flip(0), labels.flip(0)),
        wsld_loss(student.roll(1, 1), teacher.roll(1, 1), (labels + 1) % 5),
        wsld_loss(student.repeat(3, 1), teacher.repeat(3, 1), labels.repeat(3)),
        wsld_loss(student + shift, teacher - shift, labels),
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 20.0, 1e4])
def test_finite(spread: float, temperature: float) -> None:
    """Finite for logits 1e4 apart, equal logits, constant rows and a batch of one."""
    ends = spread * torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    for labels in (torch.tensor([0, 1, 2, 0]), torch.tensor([1, -1, 0, 2])):
        loss = lambda s, t: wsld_loss(s, t, labels[: len(s)], temperature=temperature)  # noqa: B023, E731
        for teacher in (ends, ends.roll(1, 0)):
            finite_in_any_precision(loss, ends, teacher)
            finite_in_any_precision(loss, ends[:1], teacher[:1])


def test_a_single_class() -> None:
    """There is nothing to learn, and nothing undefined."""
    student, teacher = torch.ones(3, 1), torch.zeros(3, 1)
    finite_in_any_precision(
        lambda s, t: wsld_loss(s, t, torch.zeros(3, dtype=torch.int64)), student, teacher
    )
    assert wsld_loss(student, teacher, torch.zeros(3, dtype=torch.int64)).item() == 0


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 1)), ((4, 10), (1, 10)), ((4, 10), (4, 9)), ((3,), (3,))]
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError) as caught:
        wsld_loss(torch.zeros(student), torch.zeros(teacher), torch.zeros(4, dtype=torch.int64))
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize(
    "labels", [torch.zeros(1).long(), torch.zeros(4, 10).long(), torch.zeros(4)]
)
def test_labels(labels: Tensor) -> None:
    """Labels of another shape or type are refused."""
    with pytest.raises(InputError, match="labels"):
        wsld_loss(torch.zeros(4, 10), torch.zeros(4, 10), labels)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature(temperature: float) -> None:
    """A temperature that is not a finite number above 0 is refused, by function and term."""
    with pytest.raises(UsageError, match="temperature"):
        wsld_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), temperature=temperature)
    with pytest.raises(UsageError, match="temperature"):
        WSLDTerm(temperature)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """The settings and labels reach the function; the whole batch is gathered; nothing is to train."""
    student, teacher, labels = numbers(4, 5), numbers(4, 5, seed=1), torch.tensor([0, 3, -1, 1])
    batch = Batch(torch.zeros(4, 3, 1, 1, dtype=torch.uint8), labels, torch.arange(4), 0)
    term = WSLDTerm.build(WSLDConfig(temperature=3.0, standardize=standardize), GROUND)
    output, signal = ModelOutput(student, {}), TeacherOutput(teacher, {})
    found = term(output, signal, batch, START)
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    assert torch.equal(found, wsld_loss(student, teacher, labels, temperature=3.0))
    mixed = MixedLabels(torch.tensor([1, 2, 4, -1]), torch.tensor([0.2, 0.9, 0.5, 0.1]))
    found = term(output, signal, batch._replace(mixed=mixed), START)
    larger = torch.tensor([1, 3, -1, -1])
    assert torch.equal(found, wsld_loss(student, teacher, larger, temperature=3.0))
    assert term.needs == Needs(teacher_logits=True, labels=True)
    assert term.across_batch
    assert not term.state_dict()
    with pytest.raises(UsageError, match="wsld needs the logits of a teacher"):
        term(output, NO_TEACHER_OUTPUT, batch, START)
