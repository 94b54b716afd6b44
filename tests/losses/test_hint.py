"""FitNets' hint against plain loops and a closed form, its invariances, its adapter, its refusals."""

import itertools

import pytest
import torch
from proving import (
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    pair,
    said,
    spares_the_teacher,
)

from tutelage.errors import InputError
from tutelage.losses.feature.hint import HintTerm, hint_loss
from tutelage.losses.term import Needs

SHAPES = [(2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1), (2, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_oracle(shape: tuple[int, ...]) -> None:
    """The mean of squared differences, number by number."""
    student, teacher = numbers(*shape), numbers(*shape, seed=1)
    flat = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    expected = sum((s - t) ** 2 for s, t in flat) / student.numel()
    assert hint_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_gradient() -> None:
    """Finite differences agree, and so does the closed form 2 (r - t) / n."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    assert gradcheck(hint_loss, student, teacher)
    expected = 2 * (student - teacher) / student.numel()
    torch.testing.assert_close(gradient(hint_loss, student, teacher), expected)
    spares_the_teacher(hint_loss, student, teacher)


def test_invariances() -> None:
    """0 at equality; the order of images and channels, and a common shift, do not matter."""
    student, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    assert hint_loss(student, student).item() == 0
    expected = hint_loss(student, teacher)
    for change in (lambda x: x.flip(0), lambda x: x.roll(1, 1), lambda x: x + 5):
        torch.testing.assert_close(hint_loss(change(student), change(teacher)), expected)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finite(scale: float) -> None:
    """Finite in every precision; squares of 1e4 do not fit float16."""
    student, teacher = numbers(2, 3, 4, 4, scale=scale), numbers(2, 3, 4, 4, seed=1, scale=scale)
    for mine, theirs in itertools.product((student, torch.zeros_like(student)), (teacher,)):
        finite_in_any_precision(hint_loss, mine, theirs)


def test_shapes() -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"\[2, 3, 4, 4\].*\[2, 1, 4, 4\]"):
        hint_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((6, 4, 4), (8, 2, 2)), ((6, 2, 2), (8, 4, 4)), ((17, 6), (8, 4, 4)), ((6,), (8,))],
)
def test_term(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Other channels and sizes, tokens and vectors meet through an adapter, which learns, too."""
    term = HintTerm([pair(student, teacher)])
    mine = numbers(5, *student).float().requires_grad_()
    theirs = numbers(5, *teacher, seed=1).float()
    loss = said(term, mine, theirs)
    torch.autograd.backward(loss)
    assert mine.grad is not None
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())
    if len(teacher) == 1:
        assert term.needs == Needs(student_points=("a",), teacher_vectors=("b",))
    else:
        assert term.needs == Needs(student_points=("a",), teacher_points=("b",))


def test_one_number_a_channel() -> None:
    """A batch of one image with one place has nothing to normalise by, and the term says so by name."""
    term = HintTerm([pair((6, 1, 1), (8, 1, 1))])
    with pytest.raises(InputError, match="hint"):
        said(term, torch.zeros(1, 6, 1, 1), torch.zeros(1, 8, 1, 1))


def test_tokens_without_a_square() -> None:
    """Tokens that form no map are refused by name."""
    term = HintTerm([pair((15, 6), (8, 4, 4))])
    with pytest.raises(InputError, match="hint compares maps"):
        said(term, torch.zeros(2, 15, 6), torch.zeros(2, 8, 4, 4))
