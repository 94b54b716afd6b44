"""Masked generation: its distance against plain loops, its mask and seed, its generator, its refusals."""

import itertools

import pytest
import torch
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
from torch import Tensor, nn

from tutelage.config.losses.feature import MGDConfig
from tutelage.errors import InputError
from tutelage.losses.feature.mgd import MGDTerm, mgd_loss, random_mask
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1)])
def test_oracle(shape: tuple[int, ...]) -> None:
    """The sum of squared differences over the images' number, number by number."""
    student, teacher = numbers(*shape), numbers(*shape, seed=1)
    flat = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    expected = sum((s - t) ** 2 for s, t in flat) / shape[0]
    assert mgd_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_gradient() -> None:
    """Finite differences agree, and so does the closed form 2 (g - t) / B."""
    student, teacher = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1)
    assert gradcheck(mgd_loss, student, teacher)
    torch.testing.assert_close(gradient(mgd_loss, student, teacher), student - teacher)
    spares_the_teacher(mgd_loss, student, teacher)


def test_invariances() -> None:
    """0 at equality; order and a common shift do not matter; a batch twice over is the same."""
    student, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    assert mgd_loss(student, student).item() == 0
    expected = mgd_loss(student, teacher)
    for change in (lambda x: x.flip(0), lambda x: x + 5, lambda x: torch.cat([x, x])):
        torch.testing.assert_close(mgd_loss(change(student), change(teacher)), expected)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finite(scale: float) -> None:
    """Finite in every precision, for equal, zero and constant maps and one image."""
    maps = numbers(2, 3, 4, 4, scale=scale), numbers(2, 3, 4, 4, seed=1, scale=scale)
    zero, constant = torch.zeros_like(maps[0]), torch.full_like(maps[0], scale)
    for mine, theirs in itertools.product((*maps, zero, constant), repeat=2):
        finite_in_any_precision(mgd_loss, mine, theirs)
    # A single image's gradient of 1e5 would itself be more than float16 holds.
    finite_in_any_precision(mgd_loss, maps[0][:1] / 4, maps[1][:1] / 4)


def test_shapes() -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"\[2, 3, 4, 4\].*\[2, 1, 4, 4\]"):
        mgd_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


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
    term = MGDTerm([pair((3, 6, 6), (4, 6, 6))], masked=0.5)
    mine, theirs = numbers(2, 3, 6, 6).float(), numbers(2, 4, 6, 6, seed=1).float()
    first = heard(term, mine, theirs, 7)
    state = torch.get_rng_state()
    assert heard(term, mine, theirs, 8) != first
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert heard(term, mine, theirs, 7) == first


def test_term_by_hand() -> None:
    """Align, mask, restore, compare: as the formula says, with the mask of the step."""
    term = MGDTerm([pair((3, 6, 6), (4, 6, 6))], masked=0.3)
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
    term = MGDTerm([pair((4, 6, 6), (4, 6, 6))], masked=0.5)
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
    term = MGDTerm(points, masked=0.5)
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


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((6, 4, 4), (8, 2, 2)), ((6, 2, 2), (8, 4, 4)), ((17, 6), (8, 4, 4)), ((6, 1, 1), (8, 1, 1))],
)
def test_term(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Other channels and sizes and tokens meet, and everything learns; one image is enough."""
    term = MGDTerm([pair(student, teacher)], masked=0.0)
    mine = numbers(1, *student).float().requires_grad_()
    torch.autograd.backward(said(term, mine, numbers(1, *teacher, seed=1).float()))
    assert mine.grad is not None
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())


def test_build() -> None:
    """The last stage, with the share that the settings say."""
    stages = [Stage(*(FeaturePoint(path, (3, 4, 4)),) * 3, None) for path in ("one", "two")]
    net = NetworkInfo("Net", tuple(stages), None, None, {"one": (3, 4, 4), "two": (3, 4, 4)})
    term = MGDTerm.build(MGDConfig(masked=0.4), BuildContext(net, net, classes=4, images=9))
    assert term.masked == 0.4
    assert term.needs == Needs(student_points=("two",), teacher_points=("two",))
    assert term.across_batch  # for the mask's sake
    assert MGDTerm([pair((3, 4, 4), (3, 4, 4))]).masked == MGDConfig().masked


def test_state() -> None:
    """Aligner and generator are in the state, and another term that loads it says the same."""
    one, other = (MGDTerm([pair((6, 4, 4), (8, 4, 4))]) for _ in range(2))
    mine, theirs = numbers(3, 6, 4, 4).float(), numbers(3, 8, 4, 4, seed=1).float()
    assert said(one, mine, theirs) != said(other, mine, theirs)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(said(one, mine, theirs), said(other, mine, theirs))


@pytest.mark.parametrize("shape", [(6,), (15, 6)])
def test_refused_features(shape: tuple[int, ...]) -> None:
    """Vectors, and tokens without a square, have no places to mask, and the term says so by name."""
    term = MGDTerm([pair(shape, (8, 4, 4))])
    with pytest.raises(InputError, match="mgd compares maps"):
        said(term, torch.zeros(2, *shape), torch.zeros(2, 8, 4, 4))
