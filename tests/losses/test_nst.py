"""Neuron selectivity transfer against plain loops, its two equal forms, its invariances, its refusals."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from proving import (
    batch_of,
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    pair,
    said,
    spares_the_teacher,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.config.losses.feature import NSTConfig
from tutelage.errors import InputError
from tutelage.losses.feature.nst import NSTTerm, nst_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, ModelOutput, NetworkInfo, TeacherOutput

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


@given(
    batch=st.integers(1, 3),
    shape=st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(1, 4)] * 2),
    seed=st.integers(0, 99),
)
@examples(max_examples=40, deadline=None)
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


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient(shape: tuple[int, int, int, int]) -> None:
    """Finite differences agree in both forms; the teacher gets none."""
    have, want, *size = shape
    student, teacher = numbers(2, have, *size), numbers(2, want, *size, seed=1)
    assert gradcheck(nst_loss, student, teacher)
    spares_the_teacher(nst_loss, student, teacher)


@pytest.mark.parametrize("shape", SHAPES)
def test_invariances(shape: tuple[int, int, int, int]) -> None:
    """0 at equality; order, number, sign and scale of channels, and the order of places, do not matter."""
    have, want, *size = shape
    student, teacher = numbers(2, have, *size), numbers(2, want, *size, seed=1)
    assert nst_loss(student, student).item() == pytest.approx(0, abs=1e-15)
    assert gradient(nst_loss, student, student).abs().max() < 1e-15
    expected = nst_loss(student, teacher)
    scales = 10.0 ** numbers(2, have, 1, 1, seed=2)
    for changed in (student.flip(1), torch.cat([student, student], 1), scales * student, -student):
        torch.testing.assert_close(nst_loss(changed, teacher), expected)
    torch.testing.assert_close(nst_loss(student.flip(3), teacher.flip(3)), expected)
    assert (nst_loss(student.flip(3), teacher) - expected).abs() > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 3])
def test_finite(shape: tuple[int, int, int, int], scale: float, count: int) -> None:
    """Finite for tiny, huge, equal, constant and zero maps, and for a batch of one."""
    channels, _, *size = shape
    one = numbers(count, channels, *size, scale=scale)
    maps = (one, one.relu(), torch.zeros_like(one), torch.full_like(one, scale))
    for student, teacher in itertools.product(maps, maps):
        finite_in_any_precision(nst_loss, student, teacher)


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


def test_refusals() -> None:
    """Other images or places are refused with both shapes printed, and so is what is no map."""
    for shape in ((2, 3, 4, 2), (1, 3, 4, 4), (2, 3, 16), (2, 48)):
        with pytest.raises(InputError, match=r"nst[^$]*\[2, 3, 4, 4\].*teacher \[") as told:
            nst_loss(torch.zeros(2, 3, 4, 4), torch.zeros(shape))
        assert str(list(shape)) in str(told.value)


def test_term() -> None:
    """Larger maps are pooled first, tokens are maps, and pairs are summed."""
    mine, theirs = numbers(3, 4, 4, 4), numbers(3, 6, 2, 2, seed=1)
    term = NSTTerm([pair((4, 4, 4), (6, 2, 2))])
    assert term.needs == Needs(student_points=("a",), teacher_points=("b",))
    assert not term.across_batch
    expected = nst_loss(torch.nn.functional.avg_pool2d(mine, 2), theirs)
    torch.testing.assert_close(said(term, mine, theirs), expected)
    tokens = torch.cat([numbers(3, 1, 4, seed=2), mine.flatten(2).mT], 1)
    torch.testing.assert_close(said(term, tokens, theirs), expected)
    with pytest.raises(InputError, match="nst compares maps"):
        said(term, torch.zeros(3, 4), theirs)

    two = NSTTerm([pair((4, 4, 4), (6, 2, 2)), pair((4, 4, 4), (6, 2, 2), name="c", other="d")])
    shown = ModelOutput(torch.zeros(3, 4), {"a": mine, "c": -2 * mine})
    told = two(
        shown, TeacherOutput(torch.zeros(3, 4), {"b": theirs, "d": theirs}), batch_of(3), START
    )
    torch.testing.assert_close(told, 2 * expected)


def test_build() -> None:
    """Built from its settings, between the points they name."""
    anatomy = NetworkInfo("net", (), None, None, {"x": (2, 4, 4)})
    ground = BuildContext(anatomy, anatomy, classes=3, images=9)
    term = NSTTerm.build(NSTConfig(student_points=("x",), teacher_points=("x",)), ground)
    assert term.needs == Needs(student_points=("x",), teacher_points=("x",))
