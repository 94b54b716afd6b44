"""Checks that every loss on logits and its term get."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from support.losses.checks import (
    Loss,
    case,
    finite_in_any_precision,
    gradcheck,
    gradient,
    numbers,
    spares_the_teacher,
)
from support.losses.tester import Options
from tutelage.config.losses.response import LogitLossConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.response.logits import LogitTerm, standardized
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import (
    NO_NETWORK_INFO,
    NO_TEACHER_OUTPUT,
    START,
    Batch,
    MixedLabels,
    ModelOutput,
    TeacherOutput,
)

LABELS = torch.tensor([0, 3, -1, 2, 3])
NO_LABELS = torch.full((5,), -1)
CONTEXT = BuildContext(NO_NETWORK_INFO, NO_NETWORK_INFO, classes=4, images=9)
TEMPERATURES = (0.05, 0.5, 1.0, 4.0, 20.0, 100.0)
REFUSED_TEMPERATURES = tuple({"temperature": value} for value in (0.0, -1.0, math.inf, math.nan))
EXACT = frozenset({"order", "classes", "shift", "copies"})
PRECISIONS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def softmax(row: list[float]) -> list[float]:
    """Return the softmax of a row, number by number."""
    powers = [math.exp(value - max(row)) for value in row]
    return [power / math.fsum(powers) for power in powers]


class LogitLossTester:
    """The checks of a loss of logits (student, teacher), or (student, teacher, labels) where `labelled`."""

    loss: Callable[..., Tensor]
    """The function, as a staticmethod."""
    slow: Callable[..., float]
    """The same of float64 logits by plain loops."""
    term: type[LogitTerm]
    config: type[LogitLossConfig]
    labelled: bool = False
    across_batch: bool = False
    drawn: dict[str, st.SearchStrategy[Any]] = {}
    """Arguments that the oracle is drawn with."""
    fewest: tuple[int, int] = (1, 1)
    """Images and classes."""
    close: float = 1e-9
    """Relative distance from the oracle; the absolute one is the same."""
    lowest: float = -1e-10
    """Least value, with float64's rounding of a sum near 0, times T^2."""
    defaults: Options = {}
    """Arguments that the function, the settings and the term have unless given."""
    settings: Options = {}
    """Other arguments, for the term."""
    options: tuple[Options, ...] = ({},)
    """Arguments of the checks of gradients and invariances."""
    unchanged: frozenset[str] = EXACT
    """What does not change the loss."""
    equality: float | None = 0.0
    """Most that the loss may be where both networks agree; None where that is not 0."""
    extreme_options: tuple[Options, ...] = tuple({"temperature": t} for t in TEMPERATURES)
    """Arguments from which value and gradient stay finite."""
    spreads: tuple[float, ...] = (0.0, 1e-4, 1.0, 1e4)
    """Sizes of logits from which they do."""
    wrong: tuple[Options, ...] = REFUSED_TEMPERATURES
    """Arguments that are refused, by their names."""

    def of(self, options: Options, labels: Tensor = LABELS) -> Loss:
        """Return the loss of (student, teacher) with these arguments, for the first images of `labels`."""
        function = type(self).loss
        if not self.labelled:
            return functools.partial(function, **options)
        return lambda student, teacher: function(
            student, teacher, labels[: len(student)], **options
        )

    def made(self, batch: int = 5, classes: int = 4, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return logits of a student and a teacher."""
        return numbers(batch, classes, seed=seed), numbers(batch, classes, seed=seed + 1000)

    @given(data=st.data())
    @examples(90, suppress_health_check=[HealthCheck.differing_executors])
    def test_oracle(self, data: st.DataObject) -> None:
        """The loss equals plain loops in float64, with any labels, and is not below its least value."""
        batch = data.draw(st.integers(self.fewest[0], 6), "images")
        classes = data.draw(st.integers(self.fewest[1], 10), "classes")
        options = {name: data.draw(values, name) for name, values in self.drawn.items()}
        seed = data.draw(st.integers(0, 999), "seed")
        student, teacher = self.made(batch, classes, seed=seed)
        labels = torch.randint(-1, classes, (batch,), generator=torch.Generator().manual_seed(seed))
        more = (labels,) if self.labelled else ()
        found = type(self).loss(student, teacher, *more, **options)
        assert found.dtype == torch.float64
        expected = type(self).slow(student, teacher, *more, **options)
        assert found.item() == pytest.approx(expected, rel=self.close, abs=self.close)
        assert found.item() >= self.lowest

    def test_defaults(self) -> None:
        """The function, the settings and the term have the same ones."""
        settings, student, teacher = self.config(), *self.made()
        assert {name: getattr(settings, name) for name in self.defaults} == self.defaults
        assert vars(self.term().settings) == vars(settings)
        assert torch.equal(self.of({})(student, teacher), self.of(self.defaults)(student, teacher))

    def test_gradient(self) -> None:
        """Finite differences agree; the student learns, the teacher gets no gradient."""
        student, teacher = self.made()
        for options in self.options:
            for labels in (LABELS, torch.ones(5, dtype=torch.int64)):
                loss = self.of(options, labels)
                with case(**options, labels=labels):
                    assert gradcheck(loss, student, teacher)
                    spares_the_teacher(loss, student, teacher)

    def test_equal_networks(self) -> None:
        """A student that equals its teacher has no loss, in any precision, and no gradient to speak of."""
        if self.equality is None:
            return
        student = numbers(5, 4, scale=3)
        for options, precision in itertools.product(
            (*self.options, *self.extreme_options), PRECISIONS
        ):
            same, loss = student.to(precision), self.of(options)
            with case(**options, precision=precision):
                assert abs(loss(same, same.clone()).item()) <= self.equality
                most = 1e-6 * max(1.0, options.get("temperature", 1.0))
                assert gradient(loss, same, same.clone()).abs().max() <= most

    def changes(self) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
        """Yield what may be done to student, teacher and labels without a change of the loss."""
        student, teacher = self.made()
        yield "order", student.flip(0), teacher.flip(0), LABELS.flip(0)
        classes = torch.tensor([2, 0, 3, 1])
        renamed = torch.where(LABELS == -1, -1, classes.argsort()[LABELS])
        yield "classes", student[:, classes], teacher[:, classes], renamed
        yield "copies", student.repeat(3, 1), teacher.repeat(3, 1), LABELS.repeat(3)
        shift = numbers(5, 1, seed=2, scale=50)
        yield "shift", student + shift, teacher, LABELS
        yield "shift", student, teacher - shift, LABELS
        known = LABELS != -1
        yield "unlabelled", student[known], teacher[known], LABELS[known]

    def test_invariances(self) -> None:
        """Order, classes' names, copies and a constant on a row do not matter, nor images without a label."""
        unchanged = {*self.unchanged, *(["unlabelled"] if self.labelled else [])}
        for options in self.options:
            expected = self.of(options)(*self.made())
            for name, student, teacher, labels in self.changes():
                if name in unchanged:
                    with case(**options, change=name):
                        found = self.of(options, labels)(student, teacher)
                        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)

    def test_labels(self) -> None:
        """Images without a label get no gradient; without any, or without another class, the loss is 0."""
        if not self.labelled:
            return
        student, teacher = self.made()
        for options in self.options:
            found = gradient(self.of(options), student, teacher)
            assert torch.equal(found.abs().sum(1) == 0, LABELS == -1)
        for precision, classes in itertools.product(PRECISIONS, (4, 1)):
            for labels in (NO_LABELS, torch.zeros_like(LABELS))[: 1 if classes > 1 else 2]:
                mine, theirs = (x[:, :classes].to(precision) for x in (student, teacher))
                with case(precision=precision, classes=classes, labels=labels):
                    assert self.of({}, labels)(mine, theirs).item() == 0
                    assert not gradient(self.of({}, labels), mine, theirs).any()
                    finite_in_any_precision(self.of({}, labels), mine, theirs)
        logits, function = torch.zeros(4, 3), type(self).loss
        for wrong in ((3,), (1,), (4, 1), (4, 3), ()):
            with case(labels=wrong):
                with pytest.raises(InputError, match="labels") as caught:
                    function(logits, logits, torch.zeros(wrong, dtype=torch.int64))
                assert f"logits [4, 3], labels {list(wrong)}" in str(caught.value)
        with pytest.raises(InputError, match="float32"):
            function(logits, logits, torch.zeros(4))

    def test_finite(self) -> None:
        """Finite for logits 1e4 apart, equal logits, constant rows, and a batch of one."""
        ends = torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1], [1, 1, 1]])
        sets = ([0, 1, 2, 0], [1, -1, 0, -1], [-1] * 4)
        labels = [torch.tensor(some) for some in sets[: None if self.labelled else 1]]
        for options, spread, known in itertools.product(self.extreme_options, self.spreads, labels):
            loss = self.of(options, known)
            for student, teacher in self.ends(spread * ends):
                with case(**options, spread=spread, labels=known):
                    finite_in_any_precision(loss, student, teacher)
                    if self.fewest[0] == 1:
                        finite_in_any_precision(loss, student[:1], teacher[:1])

    def ends(self, logits: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return students and teachers that agree, and that are sure of different classes."""
        return [(logits, logits), (logits, logits.roll(1, 0))]

    def test_half_precision_is_computed_in_fp32(self) -> None:
        """Logits in half precision give what the same numbers give in fp32."""
        for options in self.options:
            mine, theirs = (x.half() for x in self.made())
            loss = self.of(options)
            assert torch.equal(loss(mine, theirs), loss(mine.float(), theirs.float()))

    def test_refused_shapes(self) -> None:
        """Shapes that differ are refused with both printed; nothing is broadcast."""
        wrong = (((4, 3), (4, 1)), ((4, 3), (1, 3)), ((4, 3), (4, 2)), ((3,), (3,)))
        for student, teacher in wrong:
            with case(student=student, teacher=teacher):
                with pytest.raises(InputError) as caught:
                    self.of({}, torch.zeros(4, dtype=torch.int64))(
                        torch.zeros(student), torch.zeros(teacher)
                    )
                assert f"student {list(student)}, teacher {list(teacher)}" in str(caught.value)

    def test_refused_arguments(self) -> None:
        """An argument out of its range is refused by its name, by the function and by the term."""
        for options in self.wrong:
            name = next(iter(options)).removesuffix("s")
            with case(**options):
                with pytest.raises(UsageError, match=name):
                    self.of(options)(torch.zeros(5, 4), torch.zeros(5, 4))
                with pytest.raises(UsageError, match=name):
                    self.term(self.config(**options))

    def test_term(self) -> None:
        """Settings and labels (of the larger share) reach the function; there is nothing to train."""
        student, teacher = self.made()
        images, ids = torch.zeros(5, 3, 1, 1, dtype=torch.uint8), torch.arange(5)
        share = torch.tensor([0.7, 0.3, 0.2, 0.1, 0.5])
        mixed = MixedLabels(torch.tensor([1, 1, 1, -1, 0]), share)
        larger = torch.tensor([0, 1, 1, -1, 3])
        batches = [(Batch(images, LABELS, ids, 0), LABELS)]
        batches += [(Batch(images, LABELS, ids, 0, mixed), larger)]
        batches += [(Batch(images, NO_LABELS, ids, 0), NO_LABELS)]
        output, signal = ModelOutput(student, {}), TeacherOutput(teacher, {})
        for standardize, (batch, labels) in itertools.product((False, True), batches):
            settings = self.config(**self.settings, standardize=standardize)
            term = self.term.build(settings, CONTEXT)
            both = (
                (standardized(student), standardized(teacher))
                if standardize
                else (student, teacher)
            )
            found = term(output, signal, batch, START)
            assert torch.equal(found, self.of(self.settings, labels)(*both))
        assert term.needs == Needs(teacher_logits=True, labels=self.labelled)
        assert term.across_batch == self.across_batch
        assert not term.state_dict()
        with pytest.raises(UsageError, match=rf"\b{term.name} needs the logits of a teacher"):
            term(output, NO_TEACHER_OUTPUT, batch, START)
