"""Variational information distillation against plain loops and torch's own, its Gaussian, its refusals."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from support.losses.checks import batch_of, gradcheck, gradient, numbers, pair, term_loss
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, add_five, order
from tutelage.config.losses.feature import VIDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature.vid import Gaussian, VIDTerm, vid_loss
from tutelage.losses.term import BuildContext
from tutelage.types import START, ModelOutput, NetworkInfo, TeacherOutput

SHAPES = [(2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1)]


def variances(count: int) -> Tensor:
    """Numbers above 0, all different."""
    return torch.linspace(0.3, 4, count, dtype=torch.float64)


class TestVID(LossTester):
    """What holds for every loss of features."""

    @staticmethod
    def loss(mean: Tensor, teacher: Tensor) -> Tensor:
        """Take any variances."""
        variance = variances(mean.shape[1])
        return vid_loss(
            mean, teacher, variance if mean.dtype == variance.dtype else variance.float()
        )

    name = "vid"
    shapes = (((4, 3, 2, 2), (4, 3, 2, 2)),)
    equality = None  # only the variance counts
    both = (order, add_five)


class TestVIDTerm(AdapterTermTester):
    """What holds for every term with adapters; one image is enough."""

    term = VIDTerm
    name = "vid compares maps"
    meets = (
        ((6, 4, 4), (8, 2, 2)),
        ((6, 2, 2), (8, 4, 4)),
        ((17, 6), (8, 4, 4)),
        ((6, 1, 1), (8, 1, 1)),
    )
    images = (1, 5)
    refused_points = ((3, (6,), (8, 4, 4)),)

    def test_parameters(self) -> None:
        """Three convolutions and the variance."""
        assert len(list(self.make((6, 4, 4), (8, 2, 2)).parameters())) == 4


def test_variance_and_channels() -> None:
    """The gradient by the variance agrees; a common order does not matter; at equality it counts alone."""
    mean, teacher, variance = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1), variances(3)
    assert gradcheck(lambda v, t: vid_loss(mean, t, v), variance, teacher)
    expected = vid_loss(mean, teacher, variance)
    torch.testing.assert_close(vid_loss(mean.flip(1), teacher.flip(1), variance.flip(0)), expected)
    torch.testing.assert_close(vid_loss(mean, mean, variance), variance.log().mean() / 2)
    assert gradient(lambda m, t: vid_loss(m, t, variance), mean, mean).abs().max() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_oracle(shape: tuple[int, ...]) -> None:
    """The mean of the formula of the docstring, number by number."""
    mean, teacher, variance = numbers(*shape), numbers(*shape, seed=1), variances(shape[1])
    total = 0.0
    for mine, theirs in zip(mean.tolist(), teacher.tolist(), strict=True):
        for m, t, v in zip(mine, theirs, variance.tolist(), strict=True):
            for a, b in zip(itertools.chain(*m), itertools.chain(*t), strict=True):
                total += ((a - b) ** 2 / v + math.log(v)) / 2
    expected = pytest.approx(total / mean.numel(), rel=1e-12)
    assert vid_loss(mean, teacher, variance).item() == expected


def test_density() -> None:
    """It is the negative logarithm of a Gaussian's density, less log(2 pi) / 2."""
    mean, teacher, variance = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1), variances(3)
    density = torch.distributions.Normal(mean, variance.sqrt()[:, None, None])
    expected = -density.log_prob(teacher).mean() - math.log(2 * math.pi) / 2
    torch.testing.assert_close(vid_loss(mean, teacher, variance), expected)


def test_least() -> None:
    """Without a gradient by the variance where it is the mean squared error of its channel."""
    mean, teacher = numbers(4, 3, 2, 2), numbers(4, 3, 2, 2, seed=1)
    best = (mean - teacher).square().mean((0, 2, 3))
    assert gradient(lambda v, t: vid_loss(mean, t, v), best, teacher).abs().max() < 1e-12
    for other in (best * 1.1, best / 1.1):
        assert vid_loss(mean, teacher, other) > vid_loss(mean, teacher, best)


def test_refusals() -> None:
    """Variances of other channels, and those that are none, are refused."""
    for shape in ((1,), (4,), (3, 1), ()):
        with pytest.raises(InputError, match="one variance for each channel"):
            vid_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.ones(shape))
    for variance in (0.0, 1e-5, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="variance"):
            VIDTerm([pair((1, 2, 2), (1, 2, 2))], VIDConfig(variance=variance))


@pytest.mark.parametrize("variance", [2e-5, 0.1, 1.0, 5.0, 1e4])
def test_variance_at_the_start(variance: float) -> None:
    """Softplus gives back what was asked for, however small or large."""
    gaussian = Gaussian(pair((2, 4, 4), (3, 4, 4)), variance)
    torch.testing.assert_close(gaussian.variance(), torch.full((3,), variance), rtol=1e-5, atol=0)
    # The smallest variance there can be, since softplus is above 0.
    nn.init.constant_(gaussian.rho, -1e4)
    torch.testing.assert_close(gaussian.variance(), torch.full((3,), 1e-5))


def test_variance_learns() -> None:
    """Steps along the gradient bring the variance to the mean squared error, which is 1 here."""
    term = VIDTerm([pair((2, 2, 2), (3, 2, 2))])
    rho = term.gaussians[0].rho
    optimizer = torch.optim.SGD([rho], lr=15.0)
    teacher = numbers(64, 3, 2, 2).float()
    teacher = teacher / teacher.square().mean((0, 2, 3), keepdim=True).sqrt()
    for _ in range(100):
        optimizer.zero_grad()
        torch.autograd.backward(term_loss(term, torch.zeros(64, 2, 2, 2), teacher))
        optimizer.step()
    torch.testing.assert_close(term.gaussians[0].variance(), torch.ones(3), rtol=1e-3, atol=0)


def test_other_software() -> None:
    """The regressor of torchdistill with the same weights says the same, and so does its loss."""
    from torchdistill.losses.mid_level import VIDLoss
    from torchdistill.models.wrapper import Regressor4VID

    torch.manual_seed(0)
    term = VIDTerm([pair((4, 5, 5), (6, 5, 5))], VIDConfig(variance=3.0))
    theirs = Regressor4VID(4, 6, 6, eps=1e-5, init_pred_var=3.0)
    theirs.regressor.load_state_dict(term.gaussians[0].mean.state_dict())
    student, teacher = numbers(3, 4, 5, 5).float(), numbers(3, 6, 5, 5, seed=1).float()
    where = {"io": "output", "path": "x"}
    there = VIDLoss({"one": {"student": where, "teacher": where}})
    expected = there({"x": {"output": theirs(student)}}, {"x": {"output": teacher}})
    torch.testing.assert_close(
        term_loss(term, student, teacher), expected.float(), rtol=1e-6, atol=0
    )


def test_pairs() -> None:
    """Pairs are summed, each with a Gaussian of its own."""
    torch.manual_seed(0)
    term = VIDTerm([pair((2, 2, 2), (3, 2, 2)), pair((2, 2, 2), (4, 2, 2), name="c", other="d")])
    mine, one, two = (numbers(3, n, 2, 2, seed=n).float() for n in (2, 3, 4))
    shown = ModelOutput(torch.zeros(3, 4), {"a": mine, "c": 2 * mine})
    told = term(shown, TeacherOutput(torch.zeros(3, 4), {"b": one, "d": two}), batch_of(3), START)
    first, second = term.gaussians
    expected = vid_loss(first.mean(mine), one, torch.full((3,), 5.0))
    expected += vid_loss(second.mean(2 * mine), two, torch.full((4,), 5.0))
    torch.testing.assert_close(told, expected)


def test_build() -> None:
    """Built from its settings; what it has learned is kept and comes back."""
    anatomy = NetworkInfo("net", (), None, None, {"x": (2, 4, 4)})
    ground = BuildContext(anatomy, anatomy, classes=3, images=9)
    named = {"student_points": ("x",), "teacher_points": ("x",)}
    term = VIDTerm.build(VIDConfig(variance=2.0, **named), ground)
    torch.testing.assert_close(term.gaussians[0].variance(), torch.full((2,), 2.0))
    other = VIDTerm.build(VIDConfig(**named), ground)
    torch.testing.assert_close(other.gaussians[0].variance(), torch.full((2,), 5.0))
    other.load_state_dict(term.state_dict())
    mine, theirs = numbers(2, 2, 4, 4).float(), numbers(2, 2, 4, 4, seed=1).float()
    output, signal = ModelOutput(torch.zeros(2, 3), {"x": mine}), TeacherOutput(None, {"x": theirs})
    assert term(output, signal, batch_of(2), START) == other(output, signal, batch_of(2), START)
