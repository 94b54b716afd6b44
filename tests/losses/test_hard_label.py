"""Hard distillation against plain loops and a closed form, ties, invariances, refusals, its term."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch.nn import functional as F

from tutelage.config.losses.response import HardLabelConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.cross_entropy import label_loss
from tutelage.losses.response.hard_label import HardLabelTerm, hard_label_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, ModelOutput, NetworkInfo, TeacherOutput

NOTHING = NetworkInfo("net", (), None, None, {})
GROUND = BuildContext(NOTHING, NOTHING, classes=5, images=9)


@given(batch=st.integers(1, 6), classes=st.integers(1, 9), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_oracle(batch: int, classes: int, seed: int) -> None:
    """The mean of -log q at the teacher's first largest logit, number by number; ties are common here."""
    student, teacher = (
        numbers(batch, classes, seed=seed),
        numbers(batch, classes, seed=seed).round(),
    )
    total = 0.0
    for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        total += math.log(math.fsum(math.exp(s) for s in mine)) - mine[theirs.index(max(theirs))]
    found = hard_label_loss(student, teacher)
    assert found.item() == pytest.approx(total / batch, rel=1e-12, abs=1e-14)


def test_ties_go_to_the_first_class() -> None:
    """Of equal logits the first counts, in every precision, whether two tie or all."""
    student = torch.tensor([[0.0, 1.0, 2.0, 3.0]] * 2)
    teacher = torch.tensor([[1.0, 5.0, 5.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    for precision in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        expected = F.cross_entropy(student, torch.tensor([1, 0]))
        torch.testing.assert_close(hard_label_loss(student, teacher.to(precision)), expected)


def test_relation_to_labels() -> None:
    """It is the loss of the labels, had the teacher written them; only its favourite matters."""
    student, teacher = numbers(6, 5), numbers(6, 5, seed=1)
    expected = label_loss(student, teacher.argmax(1))
    for same in (teacher, 3 * teacher + 2, teacher.exp(), teacher.softmax(1)):
        torch.testing.assert_close(hard_label_loss(student, same), expected)


def test_gradient() -> None:
    """Finite differences agree, and so does the closed form (q - one-hot) / B."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    assert gradcheck(hard_label_loss, student, teacher)
    expected = (student.softmax(1) - F.one_hot(teacher.argmax(1), 5)) / 3
    torch.testing.assert_close(gradient(hard_label_loss, student, teacher), expected)
    spares_the_teacher(hard_label_loss, student, teacher)


def test_invariances() -> None:
    """A constant added to a row, the order of images and of classes do not matter."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    expected = hard_label_loss(student, teacher)
    for change in (lambda z: z.flip(0), lambda z: z.roll(1, 1), lambda z: z.repeat(3, 1)):
        torch.testing.assert_close(hard_label_loss(change(student), change(teacher)), expected)
    shift = numbers(4, 1, seed=2, scale=50)
    torch.testing.assert_close(hard_label_loss(student + shift, teacher - shift), expected)


def test_limits() -> None:
    """Log C for an undecided student; 0 for one that is as sure as a label."""
    teacher = numbers(4, 5)
    assert hard_label_loss(torch.zeros(4, 5), teacher).item() == pytest.approx(math.log(5))
    assert hard_label_loss(1e4 * teacher, teacher).item() == 0


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 1e4])
def test_finite(batch: int, scale: float) -> None:
    """Finite in every precision, also where the student is sure of another class."""
    student, teacher = numbers(batch, 5, scale=scale), numbers(batch, 5, seed=1, scale=scale)
    finite_in_any_precision(hard_label_loss, student, teacher)
    finite_in_any_precision(hard_label_loss, student, -student)


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 1)), ((4, 10), (1, 10)), ((4, 10), (4, 9)), ((3,), (3,))]
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError) as caught:
        hard_label_loss(torch.zeros(student), torch.zeros(teacher))
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """The term compares logits, standardised where asked, needs no label and has nothing to train."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    images = torch.zeros(4, 3, 1, 1, dtype=torch.uint8)
    batch = Batch(images, torch.full((4,), -1), torch.arange(4), 0)
    term = HardLabelTerm.build(HardLabelConfig(standardize=standardize), GROUND)
    found = term(ModelOutput(student, {}), TeacherOutput(teacher, {}), batch, START)
    expected = hard_label_loss(standardized(student) if standardize else student, teacher)
    assert torch.equal(found, expected)
    assert term.needs == Needs(teacher_logits=True)
    assert not term.across_batch
    assert not term.state_dict()
    with pytest.raises(UsageError, match="hard_label needs the logits of a teacher"):
        term(ModelOutput(student, {}), NO_TEACHER_OUTPUT, batch, START)
