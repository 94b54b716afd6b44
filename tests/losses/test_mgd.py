"""Masked generation: its distance against plain loops, its mask and seed, its generator, its refusals."""

import pytest
import torch
from torch import Tensor, nn

from support.losses.checks import batch_of, gradient, numbers, pair
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, Shape, add_five, copies, order, squares
from tutelage.config.losses.feature import MGDConfig
from tutelage.losses.feature.mgd import MGDTerm, mgd_loss, random_mask
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput


def slow_mgd(student: Tensor, teacher: Tensor) -> float:
    """The sum of squared differences over the number of images."""
    return squares(student, teacher) * student.numel() / len(student)


class TestMGD(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(mgd_loss)
    slow = staticmethod(slow_mgd)
    name = "mgd"
    shapes = tuple(
        (shape, shape) for shape in ((4, 3, 2, 2), (2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1))
    )
    one_image = 0.25  # its gradient of 1e5 would itself be more than float16 holds
    both = (order, add_five, copies)


class TestMGDTerm(AdapterTermTester):
    """What holds for every term with adapters; one image is enough."""

    term = MGDTerm
    name = "mgd compares maps"
    meets = (
        ((6, 4, 4), (8, 2, 2)),
        ((6, 2, 2), (8, 4, 4)),
        ((17, 6), (8, 4, 4)),
        ((6, 1, 1), (8, 1, 1)),
    )
    images = (1, 5)
    across_batch = True  # for the mask's sake
    refused_points = ((2, (6,), (8, 4, 4)), (2, (15, 6), (8, 4, 4)))  # no places to mask

    def make(self, student: Shape, teacher: Shape) -> MGDTerm:
        """Mask nothing, so that a map of one place learns, too."""
        return MGDTerm([pair(student, teacher)], MGDConfig(masked=0.0))


def test_gradient_closed_form() -> None:
    """It is 2 (g - t) / B."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    torch.testing.assert_close(gradient(mgd_loss, student, teacher), student - teacher)


@pytest.mark.parametrize("masked", [0.0, 0.15, 0.9])
def test_mask(masked: float) -> None:
    """0 and 1, one for all channels of a place, and 0 as often as asked."""
    features = torch.zeros(50, 3, 20, 20)
    mask = random_mask(features, masked, torch.Generator().manual_seed(3))
    assert mask.shape == (50, 1, 20, 20)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    share = 1 - mask.mean().item()
    assert share == pytest.approx(masked, abs=4 * (masked * (1 - masked) / mask.numel()) ** 0.5)


def heard(term: MGDTerm, mine: Tensor, theirs: Tensor, step: int) -> Tensor:
    """What a term says at a step."""
    output, signal = (
        ModelOutput(torch.zeros(len(mine), 4), {"a": mine}),
        TeacherOutput(None, {"b": theirs}),
    )
    loss: Tensor = term(output, signal, batch_of(len(mine)), START._replace(step=step))
    return loss


def test_seed() -> None:
    """A step always sees the same mask, whatever was drawn elsewhere; another step sees another."""
    term = MGDTerm([pair((3, 6, 6), (4, 6, 6))], MGDConfig(masked=0.5))
    mine, theirs = numbers(2, 3, 6, 6).float(), numbers(2, 4, 6, 6, seed=1).float()
    first = heard(term, mine, theirs, 7)
    state = torch.get_rng_state()
    assert heard(term, mine, theirs, 8) != first
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert heard(term, mine, theirs, 7) == first


def test_term_by_hand() -> None:
    """Align, mask, restore, compare: as the formula says, with the mask of the step."""
    term = MGDTerm([pair((3, 6, 6), (4, 6, 6))], MGDConfig(masked=0.3))
    mine, theirs = numbers(2, 3, 6, 6).float(), numbers(2, 4, 6, 6, seed=1).float()
    mask = random_mask(mine, 0.3, torch.Generator().manual_seed(11))
    assert 0 < mask.mean() < 1
    first, relu, second = term.generators[0]
    assert isinstance(relu, nn.ReLU)
    assert first.kernel_size == second.kernel_size == (3, 3)
    restored = second(first(term.aligners[0](mine) * mask).relu())
    expected = (restored - theirs).square().sum() / 2
    torch.testing.assert_close(heard(term, mine, theirs, 11), expected)


def test_masked_places_are_not_seen() -> None:
    """What the student has at a masked place changes nothing: its gradient there is 0."""
    term = MGDTerm([pair((4, 6, 6), (4, 6, 6))], MGDConfig(masked=0.5))
    assert isinstance(term.aligners[0], nn.Identity)
    mine = numbers(2, 4, 6, 6).float().requires_grad_()
    torch.autograd.backward(heard(term, mine, numbers(2, 4, 6, 6, seed=1).float(), 5))
    mask = random_mask(mine, 0.5, torch.Generator().manual_seed(5)).expand_as(mine)
    assert mine.grad is not None
    assert mine.grad[mask == 0].abs().max() == 0
    assert mine.grad[mask == 1].abs().min() > 0


def test_several_points() -> None:
    """The sum over the points, whose masks differ."""
    points = [pair((4, 6, 6), (4, 6, 6), name=n, other=n.upper()) for n in ("x", "y")]
    term = MGDTerm(points, MGDConfig(masked=0.5))
    term.generators[1].load_state_dict(term.generators[0].state_dict())
    mine, theirs = numbers(2, 4, 6, 6).float(), numbers(2, 4, 6, 6, seed=1).float()
    output = ModelOutput(torch.zeros(2, 4), {"x": mine, "y": mine})
    signal = TeacherOutput(None, {"X": theirs, "Y": theirs})
    found = term(output, signal, batch_of(2), START)
    random = torch.Generator().manual_seed(0)
    masks = [random_mask(mine, 0.5, random) for _ in range(2)]
    assert not torch.equal(*masks)
    parts = [mgd_loss(term.generators[0](mine * mask), theirs) for mask in masks]
    torch.testing.assert_close(found, parts[0] + parts[1])


def test_build() -> None:
    """The last stage, with the share that the settings say."""
    stages = [Stage(*(FeaturePoint(path, (3, 4, 4)),) * 3, None) for path in ("one", "two")]
    net = NetworkInfo("Net", tuple(stages), None, None, {"one": (3, 4, 4), "two": (3, 4, 4)})
    term = MGDTerm.build(MGDConfig(masked=0.4), BuildContext(net, net, classes=4, images=9))
    assert term.settings.masked == 0.4
    assert term.needs == Needs(student_points=("two",), teacher_points=("two",))
    assert term.across_batch  # for the mask's sake
