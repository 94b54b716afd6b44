"""Neuron selectivity transfer against plain loops, its two equal forms, its invariances, its refusals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from support.examples import examples
from support.losses.checks import gradient, numbers
from support.losses.term_testers import MapTermTester
from support.losses.tester import LossTester, channels, order, places
from tutelage.config.losses.feature import NSTConfig
from tutelage.losses.feature.nst import NSTTerm, nst_loss

# Channels of the student, of the teacher, height, width: fewer places than channels, and more.
SHAPES = [(5, 7, 1, 2), (2, 3, 3, 4)]


def slow_patterns(image: Tensor) -> list[list[float]]:
    """Each channel's values over the places, of length 1."""
    found = []
    for channel in image.flatten(1).tolist():
        length = sum(value**2 for value in channel) ** 0.5
        found.append([value / length for value in channel])
    return found


def slow_kernel(left: list[list[float]], right: list[list[float]]) -> float:
    """The mean of k(x, y) = (x . y)^2 over all pairs."""
    values = [sum(a * b for a, b in zip(x, y, strict=True)) ** 2 for x in left for y in right]
    return sum(values) / len(values)


def slow(student: Tensor, teacher: Tensor) -> float:
    """The formula of the docstring, pair by pair."""
    total = 0.0
    for mine, theirs in zip(student, teacher, strict=True):
        s, t = slow_patterns(mine), slow_patterns(theirs)
        total += slow_kernel(s, s) + slow_kernel(t, t) - 2 * slow_kernel(s, t)
    return total / len(student)


class TestNSTTerm(MapTermTester):
    """What holds for every term on maps."""

    loss = staticmethod(nst_loss)
    term, config = NSTTerm, NSTConfig


class TestNST(LossTester):
    """What holds for every loss of features, in both forms: fewer places than channels, and more."""

    loss = staticmethod(nst_loss)
    name = "nst"
    shapes = tuple(((2, have, *size), (2, want, *size)) for have, want, *size in SHAPES)
    equality = gradient_at_equality = 1e-15
    extreme_shapes = 2
    positive = True
    both = (order, places)
    student = (
        channels,
        torch.neg,
        lambda x: torch.cat([x, x], 1),
        lambda x: 10.0 ** numbers(2, x.shape[1], 1, 1, seed=2) * x,
    )
    unlike = (places,)
    refused = tuple(
        ((2, 3, 4, 4), shape) for shape in ((2, 3, 4, 2), (1, 3, 4, 4), (2, 3, 16), (2, 48))
    )


@given(
    batch=st.integers(1, 3),
    shape=st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(1, 4)] * 2),
    seed=st.integers(0, 99),
)
@examples(40)
def test_oracle(batch: int, shape: tuple[int, int, int, int], seed: int) -> None:
    """The loss equals plain loops, in whichever form it is computed, and is not below 0."""
    have, want, *size = shape
    student, teacher = (
        numbers(batch, have, *size, seed=seed),
        numbers(batch, want, *size, seed=-seed - 1),
    )
    found = nst_loss(student, teacher).item()
    assert found == pytest.approx(slow(student, teacher), rel=1e-9, abs=1e-13)
    assert found > -1e-13


def test_closed_form() -> None:
    """Patterns at a right angle: 1 + 1 - 0; the same pattern: 0; at 45 degrees: 1 + 1 - 2 / 2."""
    across, up = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 3.0]]]])
    assert nst_loss(across, up).item() == pytest.approx(2)
    assert nst_loss(across, -5 * across).item() == pytest.approx(0)
    assert nst_loss(across, across / 3 + up / 9).item() == pytest.approx(1)


def test_zeros() -> None:
    """A dead channel has no pattern and gets no gradient; the others do."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    student[:, 1] = 0
    found = gradient(nst_loss, student, teacher)
    assert found[:, 1].abs().max() == 0
    assert found[:, 0].abs().max() > 0


def test_memory() -> None:
    """No tensor holds pairs of channels times places: 2 x 8 x 8 x 256 of them would be 32,768."""
    largest = [0]

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            found = func(*args, **(kwargs or {}))
            if isinstance(found, Tensor):
                largest[0] = max(largest[0], found.numel())
            return found

    student, teacher = numbers(2, 8, 16, 16).requires_grad_(), numbers(2, 8, 16, 16, seed=1)
    with Watch():
        torch.autograd.backward(nst_loss(student, teacher))
    assert largest[0] == student.numel()
