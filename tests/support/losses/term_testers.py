"""Checks that terms on features get: those with adapters, and those that compare vectors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import avg_pool2d

from support.losses.checks import case, numbers, pair, term_loss
from support.losses.tester import LossTester, Options, Shape
from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.errors import InputError
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import FeaturePoint, NetworkInfo


class AdapterTermTester:
    """The checks of a term that brings features of other widths and sizes together."""

    term: type[FeatureTerm]
    name: str
    """What a refusal starts with."""
    meets: tuple[tuple[Shape, Shape], ...]
    """Shapes of one image, of the student and the teacher, that are compared."""
    images: tuple[int, ...] = (5,)
    """Batches that are enough."""
    across_batch: bool = False
    learns: bool = True
    """Whether there are adapters."""
    refused_points: tuple[tuple[int, Shape, Shape], ...] = ()
    """Images, and shapes of one, that cannot be compared."""

    def make(self, student: Shape, teacher: Shape) -> Any:
        """Return the term between two points."""
        return self.term([pair(student, teacher)])

    def test_shapes_meet(self) -> None:
        """Maps, tokens and vectors meet; the student and every adapter learn."""
        for student, teacher in self.meets:
            term = self.make(student, teacher)
            assert term.across_batch == self.across_batch
            assert bool(list(term.parameters())) == self.learns
            vector = len(teacher) == 1
            assert term.needs._replace(teacher_logits=False) == Needs(
                student_points=("a",),
                teacher_points=() if vector else ("b",),
                teacher_vectors=("b",) if vector else (),
            )
            for count in self.images:
                term.zero_grad()
                mine = numbers(count, *student).float().requires_grad_()
                theirs = numbers(count, *teacher, seed=1).float()
                torch.autograd.backward(term_loss(term, mine, theirs))
                with case(student=student, teacher=teacher, images=count):
                    assert mine.grad is not None
                    assert mine.grad.abs().max() > 0
                    for parameter in term.parameters():
                        assert parameter.grad is not None
                        assert parameter.grad.abs().max() > 0

    def test_state(self) -> None:
        """What adapters learn is in the state: another term that loads it has the same loss."""
        student, teacher = self.meets[0]
        one, other = (self.make(student, teacher) for _ in range(2))
        mine, theirs = numbers(3, *student).float(), numbers(3, *teacher, seed=1).float()
        first = term_loss(one, mine, theirs)  # BatchNorm has averages now
        assert (first != term_loss(other, mine, theirs)) == self.learns
        other.load_state_dict(one.state_dict())
        for train in (True, False):
            found = [term_loss(term.train(train), mine, theirs) for term in (one, other)]
            assert torch.equal(*found)

    def test_no_waiting_for_the_device(self) -> None:
        """Tensors without numbers will do: nothing is read back from the device."""
        for student, teacher in self.meets:
            with FakeTensorMode(allow_non_fake_inputs=True):
                mine = torch.zeros(3, *student, requires_grad=True)
                term = self.make(student, teacher)
                torch.autograd.backward(term_loss(term, mine, torch.zeros(3, *teacher)))

    def test_refused_points(self) -> None:
        """What cannot be compared is refused by the term's name."""
        for count, student, teacher in self.refused_points:
            term = self.make(student, teacher)
            with (
                case(images=count, student=student, teacher=teacher),
                pytest.raises(InputError, match=rf"\b{self.name}\b"),
            ):
                term_loss(term, torch.zeros(count, *student), torch.zeros(count, *teacher))


class MapTermTester:
    """The checks of a term that compares maps as they are, pooled to the smaller size."""

    loss: Callable[..., Tensor]
    """The function, as a staticmethod."""
    term: type[FeatureTerm]
    config: type[FeatureLossConfig]
    settings: Options = {}
    """Arguments other than the defaults."""

    def test_maps(self) -> None:
        """Larger maps are pooled first, tokens are maps, pairs are summed, and settings arrive."""
        mine, theirs = numbers(3, 4, 4, 4), numbers(3, 6, 2, 2, seed=1)
        tokens = torch.cat([numbers(3, 1, 4, seed=2), mine.flatten(2).mT], 1)
        points = pair((4, 4, 4), (6, 2, 2))
        for settings in ({}, self.settings):
            expected = type(self).loss(avg_pool2d(mine, 2), theirs, **settings)
            term = self.term([points], self.config(**settings))
            torch.testing.assert_close(term_loss(term, mine, theirs), expected)
            torch.testing.assert_close(term_loss(term, tokens, theirs), expected)
            two = self.term([points] * 2, self.config(**settings))
            torch.testing.assert_close(term_loss(two, mine, theirs), 2 * expected)
        assert not term.across_batch
        with pytest.raises(InputError, match=f"{term.name} compares maps"):
            term_loss(term, torch.zeros(3, 4), theirs)

    def test_named_points(self) -> None:
        """It compares the points that its settings name."""
        network = NetworkInfo("net", (), None, None, {"x": (2, 4, 4)})
        settings = self.config(student_points=("x",), teacher_points=("x",), **self.settings)
        term = self.term.build(settings, BuildContext(network, network, classes=3, images=9))
        assert term.needs == Needs(student_points=("x",), teacher_points=("x",))
        assert term.settings == settings


class VectorLossTester(LossTester):
    """The checks of a loss that compares a vector of each image with those of other images."""

    term: type[FeatureTerm]
    config: type[FeatureLossConfig]
    shapes = (((6, 4), (6, 4)), ((5, 3), (5, 4)))
    refused = (((4, 5), (3, 5)), ((4, 5), (4, 5, 2)), ((4, 5), (1, 5)))

    def test_term(self) -> None:
        """Maps and tokens are compared by their mean over positions; of several pairs, the sum."""
        teacher = numbers(4, 8, seed=1)
        for shape, where in (((6, 2, 2), (2, 3)), ((5, 6), (1,)), ((6,), ())):
            student = numbers(4, *shape)
            mean = student.mean(where) if where else student
            term = self.term([pair(shape, (8,))])
            assert term.across_batch
            expected = self.of({})(mean, teacher)
            torch.testing.assert_close(term_loss(term, student, teacher), expected)
            both = self.term([pair(shape, (8,))] * 2)
            torch.testing.assert_close(term_loss(both, student, teacher), 2 * expected)

    def test_build(self) -> None:
        """Unset points are what the classifiers are given."""
        networks = [
            NetworkInfo("Net", (), FeaturePoint(path, (width,)), None, {})
            for path, width in (("fc.input", 6), ("head.input", 8))
        ]
        term = self.term.build(self.config(), BuildContext(*networks, classes=4, images=9))
        expected = Needs(student_points=("fc.input",), teacher_vectors=("head.input",))
        assert term.needs == expected
