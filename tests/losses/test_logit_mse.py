"""Logit matching against plain loops and a closed form, its invariances, its refusals, its term."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proving import finite_in_any_precision, gradcheck, gradient, numbers, spares_the_teacher
from torch.nn import functional as F

from tutelage.config.losses.response import LogitMSEConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.logit_mse import LogitMSETerm, logit_mse_loss
from tutelage.losses.response.logits import standardized
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import NO_TEACHER_OUTPUT, START, Batch, ModelOutput, NetworkInfo, TeacherOutput

NOTHING = NetworkInfo("net", (), None, None, {})
GROUND = BuildContext(NOTHING, NOTHING, classes=5, images=9)


@given(batch=st.integers(1, 6), classes=st.integers(1, 9), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_oracle(batch: int, classes: int, seed: int) -> None:
    """Half the squared distance of each image, number by number, and never negative."""
    student, teacher = numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)
    total = 0.0
    for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        total += sum((s - t) ** 2 for s, t in zip(mine, theirs, strict=True)) / 2
    found = logit_mse_loss(student, teacher)
    assert found.item() == pytest.approx(total / batch, rel=1e-12)


def test_relation_to_torch() -> None:
    """It is C / 2 times the mean over all numbers, in fp32, too."""
    student, teacher = numbers(6, 10).float(), numbers(6, 10, seed=1).float()
    expected = F.mse_loss(student, teacher) * 10 / 2
    torch.testing.assert_close(logit_mse_loss(student, teacher), expected)


def test_gradient() -> None:
    """Finite differences agree, and so does the closed form (s - t) / B."""
    student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
    assert gradcheck(logit_mse_loss, student, teacher)
    torch.testing.assert_close(gradient(logit_mse_loss, student, teacher), (student - teacher) / 3)
    spares_the_teacher(logit_mse_loss, student, teacher)


def test_invariances() -> None:
    """0 at equality; order does not matter, nor a shift of both; a shift of one does."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    expected = logit_mse_loss(student, teacher)
    assert logit_mse_loss(student, student).item() == 0
    for change in (lambda z: z.flip(0), lambda z: z.roll(1, 1), lambda z: z + 7):
        torch.testing.assert_close(logit_mse_loss(change(student), change(teacher)), expected)
    torch.testing.assert_close(logit_mse_loss(3 * student, 3 * teacher), 9 * expected)
    torch.testing.assert_close(logit_mse_loss(student + 2, student), torch.tensor(10.0).double())


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 1e4])
def test_finite(batch: int, scale: float) -> None:
    """Finite in every precision; squares of 1e4 do not fit float16."""
    student, teacher = numbers(batch, 5, scale=scale), numbers(batch, 5, seed=1, scale=scale)
    finite_in_any_precision(logit_mse_loss, student, teacher)
    finite_in_any_precision(logit_mse_loss, student, student)
    half = logit_mse_loss(student.half(), teacher.half())
    assert torch.equal(half, logit_mse_loss(student.half().float(), teacher.half().float()))


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 1)), ((4, 10), (1, 10)), ((4, 10), (4, 9)), ((3,), (3,))]
)
def test_shapes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError) as caught:
        logit_mse_loss(torch.zeros(student), torch.zeros(teacher))
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize("standardize", [False, True])
def test_term(standardize: bool) -> None:
    """The term compares logits, standardised where asked, needs no label and has nothing to train."""
    student, teacher = numbers(4, 5), numbers(4, 5, seed=1)
    images = torch.zeros(4, 3, 1, 1, dtype=torch.uint8)
    batch = Batch(images, torch.full((4,), -1), torch.arange(4), 0)
    term = LogitMSETerm.build(LogitMSEConfig(standardize=standardize), GROUND)
    found = term(ModelOutput(student, {}), TeacherOutput(teacher, {}), batch, START)
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    assert torch.equal(found, logit_mse_loss(student, teacher))
    assert term.needs == Needs(teacher_logits=True)
    assert not term.across_batch
    assert not term.state_dict()
    with pytest.raises(UsageError, match="logit_mse needs the logits of a teacher"):
        term(ModelOutput(student, {}), NO_TEACHER_OUTPUT, batch, START)
