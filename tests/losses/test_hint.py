"""FitNets' hint against plain loops and a closed form, its invariances, its adapter, its refusals."""

import pytest
import torch

from support.losses.checks import gradient, numbers, pair, term_loss
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, add_five, channels, order, squares
from tutelage.errors import InputError
from tutelage.losses.feature.hint import HintTerm, hint_loss

SHAPES = [(2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1), (2, 5)]


class TestHint(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(hint_loss)
    slow = staticmethod(squares)
    name = "hint"
    shapes = tuple((shape, shape) for shape in SHAPES)
    both = (order, channels, add_five)


class TestHintTerm(AdapterTermTester):
    """What holds for every term with adapters."""

    term = HintTerm
    name = "hint"
    meets = (
        ((6, 4, 4), (8, 2, 2)),
        ((6, 2, 2), (8, 4, 4)),
        ((17, 6), (8, 4, 4)),
        ((6,), (8,)),
    )
    refused_points = ((1, (6, 1, 1), (8, 1, 1)),)  # nothing to normalise by


def test_gradient_closed_form() -> None:
    """It is 2 (r - t) / n."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    expected = 2 * (student - teacher) / student.numel()
    torch.testing.assert_close(gradient(hint_loss, student, teacher), expected)


def test_tokens_without_a_square() -> None:
    """Tokens that form no map are refused by name."""
    term = HintTerm([pair((15, 6), (8, 4, 4))])
    with pytest.raises(InputError, match="hint compares maps"):
        term_loss(term, torch.zeros(2, 15, 6), torch.zeros(2, 8, 4, 4))
