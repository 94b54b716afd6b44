"""Checks that every loss function gets; a subclass in the loss's test file says on which inputs."""

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from support.losses.checks import (
    Loss,
    case,
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    spares_the_teacher,
)
from tutelage.errors import InputError

Options = Mapping[str, Any]
Shape = tuple[int, ...]
Change = Callable[[Tensor], Tensor]


def order(x: Tensor) -> Tensor:
    """Reverse the images of a batch."""
    return x.flip(0)


def channels(x: Tensor) -> Tensor:
    """Put the channels (or classes) in another order."""
    return x.roll(1, 1)


def places(x: Tensor) -> Tensor:
    """Mirror maps."""
    return x.flip(-1)


def copies(x: Tensor) -> Tensor:
    """Put every image into the batch twice."""
    return torch.cat([x, x])


def add_five(x: Tensor) -> Tensor:
    """Shift everything."""
    return x + 5


def triple(x: Tensor) -> Tensor:
    """Scale everything."""
    return 3 * x


def squares(student: Tensor, teacher: Tensor) -> float:
    """Return the mean of squared differences, number by number."""
    flat = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    return math.fsum((s - t) ** 2 for s, t in flat) / student.numel()


class LossTester:
    """The checks of a loss of (student, teacher), for all `options` and `shapes`."""

    loss: Callable[..., Tensor]
    """The function, as a staticmethod."""
    slow: Callable[..., float] | None = None
    """The same of float64 features by plain loops, where it needs no examples of its own."""
    name: str
    """What a refusal starts with."""
    options: tuple[Options, ...] = ({},)
    """Arguments that the checks are repeated with."""
    shapes: tuple[tuple[Shape, Shape], ...]
    """Of the student's and the teacher's features."""
    extreme_options: tuple[Options, ...] = ()
    """More arguments with which value and gradient stay finite."""
    extreme_shapes: int = 1
    """How many of the shapes this is checked for."""
    equality: float | None = 0.0
    """Most that the loss may be where both networks agree; None where that is not 0."""
    gradient_at_equality: float | None = None
    """Most that its gradient may be there."""
    both: tuple[Change, ...] = (order,)
    """What may be done to both networks' features without a change of the loss."""
    student: tuple[Change, ...] = ()
    """What may be done to the student's alone."""
    teacher: tuple[Change, ...] = ()
    """What may be done to the teacher's alone."""
    either: tuple[Change, ...] = ()
    """What may be done to either of them."""
    unlike: tuple[Change, ...] = ()
    """What does change the loss when it is done to the student's alone."""
    least: int = 1
    """Smallest batch."""
    scales: tuple[float, ...] = (1e-4, 1.0, 1e4)
    """Sizes of features from which value and gradient stay finite."""
    positive: bool = False
    """Whether features after a ReLU are tried as well."""
    one_image: float = 1.0
    """Share of these sizes for a batch of one, whose gradient is the largest."""
    refused: tuple[tuple[Shape, Shape], ...] = (((2, 3, 4, 4), (2, 1, 4, 4)),)
    """Shapes that do not fit together."""

    def of(self, options: Options) -> Loss:
        """Return the loss with these arguments."""
        return partial(type(self).loss, **options)

    def pairs(self) -> list[tuple[Options, Tensor, Tensor]]:
        """Return ordinary features for all options and shapes."""
        return [
            (options, numbers(*mine), numbers(*theirs, seed=1))
            for options, (mine, theirs) in itertools.product(self.options, self.shapes)
        ]

    def extremes(self, shape: Shape, scale: float, seed: int) -> list[Tensor]:
        """Return ordinary, zero and constant features, equal images, and a single one that is not zero."""
        ordinary = numbers(*shape, scale=scale, seed=seed).clamp(-6e4, 6e4)  # fits float16
        zero = torch.zeros_like(ordinary)
        found = [ordinary, zero, torch.full_like(zero, scale)]
        if self.positive:
            found.append(ordinary.relu())
        if len(ordinary) > 1:
            found += [ordinary[:1].expand_as(zero).clone(), torch.cat([ordinary[:1], zero[1:]])]
        return found

    def test_slow(self) -> None:
        """The loss equals plain loops."""
        if self.slow is None:
            return
        for options, student, teacher in self.pairs():
            with case(**options, student=student.shape, teacher=teacher.shape):
                expected = type(self).slow(student, teacher, **options)
                found = self.of(options)(student, teacher).item()
                assert found == pytest.approx(expected, rel=1e-10, abs=1e-15)

    def test_gradient(self) -> None:
        """Finite differences agree; the student learns, the teacher gets no gradient."""
        for options, student, teacher in self.pairs():
            with case(**options, shape=student.shape):
                assert gradcheck(self.of(options), student, teacher)
                spares_the_teacher(self.of(options), student, teacher)

    def test_equal_networks(self) -> None:
        """A student that equals its teacher has no loss."""
        if self.equality is None:
            return
        for options, student, _ in self.pairs():
            with case(**options, shape=student.shape):
                assert abs(self.of(options)(student, student).item()) <= self.equality
                if self.gradient_at_equality is not None:
                    found = gradient(self.of(options), student, student).abs().max()
                    assert found <= self.gradient_at_equality

    def test_invariances(self) -> None:
        """The loss does not change by what is listed, and does by what is listed as unlike."""
        for options, student, teacher in self.pairs():
            loss = self.of(options)
            expected = loss(student, teacher)
            changed = [(change(student), change(teacher)) for change in self.both]
            changed += [(change(student), teacher) for change in (*self.student, *self.either)]
            changed += [(student, change(teacher)) for change in (*self.teacher, *self.either)]
            for number, (mine, theirs) in enumerate(changed):
                with case(**options, shape=student.shape, change=number):
                    torch.testing.assert_close(loss(mine, theirs), expected)
            for number, change in enumerate(self.unlike):
                with case(**options, shape=student.shape, unlike=number):
                    assert (loss(change(student), teacher) - expected).abs() > 1e-6

    def test_finite(self) -> None:
        """Value and gradient are finite in every precision, however large, equal or silent the features."""
        for options, (mine, theirs), scale in itertools.product(
            (*self.options, *self.extreme_options), self.shapes[: self.extreme_shapes], self.scales
        ):
            for count in {self.least, 4}:
                size = scale * (self.one_image if count == 1 else 1)
                students = self.extremes((count, *mine[1:]), size, 0)
                teachers = self.extremes((count, *theirs[1:]), size, 1)
                for student, teacher in itertools.product(students, teachers):
                    with case(**options, shape=student.shape, scale=scale):
                        finite_in_any_precision(self.of(options), student, teacher)

    def test_half_precision_is_computed_in_fp32(self) -> None:
        """Features in half precision give what the same numbers give in fp32."""
        for options, student, teacher in self.pairs():
            half = student.half(), teacher.half()
            found = self.of(options)(*half)
            assert torch.equal(found, self.of(options)(*(x.float() for x in half)))

    def test_no_waiting_for_the_device(self) -> None:
        """Tensors without numbers will do: nothing is read back from the device."""
        for options, (student, teacher) in itertools.product(self.options, self.shapes):
            with FakeTensorMode(allow_non_fake_inputs=True):
                mine = torch.zeros(student, requires_grad=True)
                torch.autograd.backward(self.of(options)(mine, torch.zeros(teacher)))

    def test_refused_shapes(self) -> None:
        """Shapes that differ are refused with both printed; nothing is broadcast."""
        for student, teacher in self.refused:
            with case(student=student, teacher=teacher):
                with pytest.raises(InputError, match=rf"\b{self.name}\b") as caught:
                    self.of(self.options[0])(torch.zeros(student), torch.zeros(teacher))
                assert str(list(student)) in str(caught.value)
                assert str(list(teacher)) in str(caught.value)
