"""Multi-level logits against plain loops, its invariances, its limits, its refusals, its term."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch import Tensor

from tutelage.config.losses.response import MLKDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.response.mlkd import MLKDTerm, mlkd_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, ModelOutput, NetworkInfo, TeacherOutput

NOTHING = NetworkInfo("net", (), None, None, {})
GROUND = BuildContext(NOTHING, NOTHING, classes=5, images=9)
TEMPERATURES = [0.05, 0.5, 1.0, 4.0, 20.0, 100.0]


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / math.fsum(powers) for power in powers]


def products(rows: list[list[float]]) -> list[float]:
    """The inner product of every row with every row."""
    return [math.fsum(a * b for a, b in zip(x, y, strict=True)) for x in rows for y in rows]


def slow_levels(student: Tensor, teacher: Tensor, temperature: float) -> list[float]:
    """The formula of the docstring at one temperature, number by number: image, batch, class."""
    q = [softmax([value / temperature for value in row]) for row in student.tolist()]
    p = [softmax([value / temperature for value in row]) for row in teacher.tolist()]
    batch_images = math.fsum(
        a * math.log(a / b) for x, y in zip(p, q, strict=True) for a, b in zip(x, y, strict=True)
    )
    levels = [temperature**2 * batch_images / len(q)]
    for mine, theirs in ((q, p), (list(zip(*q, strict=True)), list(zip(*p, strict=True)))):
        pairs = zip(products(mine), products(theirs), strict=True)
        levels.append(math.fsum((a - b) ** 2 for a, b in pairs) / len(mine))
    return levels


@given(
    batch=st.integers(1, 5),
    classes=st.integers(1, 7),
    seed=st.integers(0, 999),
    temperatures=st.lists(st.sampled_from([0.5, 1.0, 4.0, 20.0]), min_size=1, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_oracle(batch: int, classes: int, seed: int, temperatures: list[float]) -> None:
    """The sum over temperatures equals plain loops, whichever of B and C is larger."""
    student, teacher = numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)
    found = mlkd_loss(student, teacher, temperatures=temperatures).item()
    levels = [level for t in temperatures for level in slow_levels(student, teacher, t)]
    assert found == pytest.approx(math.fsum(levels), rel=1e-9, abs=1e-12)
    assert found >= -1e-12


@pytest.mark.parametrize("level", [1, 2])
def test_every_level_counts(level: int) -> None:
    """Batch and classes are a real share of what the oracle finds, so that it would miss them."""
    student, teacher = numbers(5, 4, scale=2), numbers(5, 4, seed=1, scale=2)
    assert slow_levels(student, teacher, 1.0)[level] > 0.05


def test_temperatures_are_summed() -> None:
    """By default 2 to 6; each adds its own loss, and a temperature given twice counts twice."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    single = [mlkd_loss(student, teacher, temperatures=[t]) for t in (2.0, 3.0, 4.0, 5.0, 6.0)]
    torch.testing.assert_close(mlkd_loss(student, teacher), torch.stack(single).sum())
    assert MLKDConfig().temperatures == MLKDTerm().temperatures == (2.0, 3.0, 4.0, 5.0, 6.0)
    twice = mlkd_loss(student, teacher, temperatures=(3.0, 3.0))
    torch.testing.assert_close(twice, 2 * single[1])


@pytest.mark.parametrize("temperatures", [(1.0,), (2.0, 4.0)])
def test_gradient(temperatures: tuple[float, ...]) -> None:
    """Finite differences agree; the teacher gets none."""
    loss = partial(mlkd_loss, temperatures=temperatures)
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    assert gradcheck(loss, student, teacher)
    spares_the_teacher(loss, student, teacher)


def test_permuted_images() -> None:
    """Students that give the teacher's rows in another order: classes relate alike, images do not."""
    teacher = numbers(3, 5)
    student = teacher.roll(1, 0)
    found = mlkd_loss(student, teacher, temperatures=[1.0])
    batch_images, batch, classes = slow_levels(student, teacher, 1.0)
    assert classes < 1e-15 < 1e-3 < batch
    assert found.item() == pytest.approx(batch_images + batch, rel=1e-12)


def test_permuted_classes() -> None:
    """Students that call every class by another's name: images relate alike, classes do not."""
    teacher = numbers(3, 5)
    student = teacher.roll(1, 1)
    found = mlkd_loss(student, teacher, temperatures=[1.0])
    batch_images, batch, classes = slow_levels(student, teacher, 1.0)
    assert batch < 1e-15 < 1e-3 < classes
    assert found.item() == pytest.approx(batch_images + classes, rel=1e-12)


def test_invariances() -> None:
    """0 at equality; a constant on a row and the order of rows and classes do not matter."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    for precision in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        same = student.to(precision)
        assert mlkd_loss(same, same).item() == 0
        assert gradient(mlkd_loss, same, same).abs().max() < 1e-5
    expected = mlkd_loss(student, teacher)
    for change in (lambda z: z.flip(0), lambda z: z.roll(1, 1)):
        torch.testing.assert_close(mlkd_loss(change(student), change(teacher)), expected)
    shift = numbers(4, 1, seed=2, scale=50)
    torch.testing.assert_close(mlkd_loss(student + shift, teacher - shift), expected)


def test_near_the_teacher() -> None:
    """In fp32 small differences are not lost in those of large sums."""
    teacher = numbers(6, 5, scale=3)
    student = teacher + 1e-3 * numbers(6, 5, seed=1)

    def relations(s: Tensor, t: Tensor) -> float:
        kd = kd_loss(s, t, temperature=1.0)
        return (mlkd_loss(s, t, temperatures=[1.0]) - kd).item()

    # The inputs themselves are rounded by 1e-7, which is 1e-4 of their difference.
    expected = relations(student.float().double(), teacher.float().double())
    assert relations(student.float(), teacher.float()) == pytest.approx(expected, rel=2e-2)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e4])
def test_finite(spread: float, temperature: float) -> None:
    """Finite for logits 1e4 apart, equal logits, constant rows and a batch of one."""
    ends = spread * torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
    loss = partial(mlkd_loss, temperatures=(temperature, 2.0))
    for teacher in (ends, ends.roll(1, 0)):
        finite_in_any_precision(loss, ends, teacher)
        finite_in_any_precision(loss, ends[:1], teacher[:1])


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 1)), ((4, 10), (1, 10)), ((4, 10), (4, 9)), ((3,), (3,))]
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError) as caught:
        mlkd_loss(torch.zeros(student), torch.zeros(teacher))
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize("temperatures", [(), (2.0, 0.0), (-1.0,), (math.inf,), (math.nan, 1.0)])
def test_temperatures(temperatures: tuple[float, ...]) -> None:
    """None at all, or one that is not a finite number above 0, is refused by function and term."""
    with pytest.raises(UsageError, match="temperature"):
        mlkd_loss(torch.zeros(1, 2), torch.zeros(1, 2), temperatures=temperatures)
    with pytest.raises(UsageError, match="temperature"):
        MLKDTerm(temperatures)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """The settings reach the function; the whole batch is gathered; there is nothing to train."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    images = torch.zeros(4, 3, 1, 1, dtype=torch.uint8)
    batch = Batch(images, torch.full((4,), -1), torch.arange(4), 0)
    term = MLKDTerm.build(MLKDConfig(temperatures=(1.0, 7.0), standardize=standardize), GROUND)
    found = term(ModelOutput(student, {}), TeacherOutput(teacher, {}), batch, START)
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    assert torch.equal(found, mlkd_loss(student, teacher, temperatures=(1.0, 7.0)))
    assert term.needs == Needs(teacher_logits=True)
    assert term.across_batch
    assert not term.state_dict()
    with pytest.raises(UsageError, match="mlkd needs the logits of a teacher"):
        term(ModelOutput(student, {}), NO_TEACHER_OUTPUT, batch, START)
