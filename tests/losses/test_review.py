"""Knowledge review: its distance against plain loops and torchdistill, its fusion, its refusals."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchdistill.losses.mid_level import HierarchicalContextLoss

from support.losses.checks import gradient, numbers, pair, term_loss
from support.losses.term_testers import AdapterTermTester
from support.losses.tester import LossTester, channels, order, places
from tutelage.config.losses.feature import ReviewConfig
from tutelage.errors import InputError
from tutelage.losses.feature.fusion import AttentionFusion, ReviewFusion
from tutelage.losses.feature.review import ReviewTerm, review_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput

SHAPES = [
    (2, 3, 8, 8),
    (1, 2, 7, 7),
    (2, 2, 5, 5),
    (2, 2, 4, 4),
    (2, 2, 3, 3),
    (2, 3, 2, 2),
    (3, 4, 1, 1),
    (2, 2, 3, 6),
    (2, 2, 6, 3),
    (1, 1, 1, 9),
]


def pooled(image: list[list[float]], side: int) -> list[list[float]]:
    """Means over windows from floor(i n / side) to ceil((i + 1) n / side)."""
    rows, columns = len(image), len(image[0])
    found = []
    for i, j in itertools.product(range(side), repeat=2):
        ys = range(i * rows // side, -(-(i + 1) * rows // side))
        xs = range(j * columns // side, -(-(j + 1) * columns // side))
        window = [image[y][x] for y in ys for x in xs]
        found.append(sum(window) / len(window))
    return [found[i * side : (i + 1) * side] for i in range(side)]


def oracle(student: Tensor, teacher: Tensor) -> float:
    """Every level pooled for both networks, window by window."""
    mine, theirs = student.flatten(0, 1).tolist(), teacher.flatten(0, 1).tolist()
    sides = [side for side in (4, 2, 1) if side < student.shape[2] and side < student.shape[3]]
    loss, total, weight = 0.0, 0.0, 1.0
    for side in (None, *sides):
        squares = []
        for s, t in zip(mine, theirs, strict=True):
            s, t = (s, t) if side is None else (pooled(s, side), pooled(t, side))
            for a, b in zip(itertools.chain(*s), itertools.chain(*t), strict=True):
                squares.append((a - b) ** 2)
        loss += weight * sum(squares) / len(squares)
        total += weight
        weight /= 2
    return loss / total


class TestReview(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(review_loss)
    slow = staticmethod(oracle)
    name = "review"
    shapes = tuple((shape, shape) for shape in ((4, 3, 6, 6), *SHAPES))
    both = (order, channels, places, lambda x: x + numbers(*x.shape, seed=2))
    refused = (((2, 3, 4, 4), (2, 1, 4, 4)),)


class TestReviewTerm(AdapterTermTester):
    """What holds for every term with adapters."""

    term = ReviewTerm
    name = "review"
    meets = (((6, 4, 4), (8, 4, 4)),)
    refused_points = (
        (1, (6, 1, 1), (8, 2, 2)),  # nothing to normalise by
        (1, (6, 2, 2), (8, 1, 1)),
        (1, (6,), (8,)),
        (1, (15, 6), (8, 4, 4)),
    )


def test_vectors() -> None:
    """Vectors are no maps."""
    with pytest.raises(InputError, match="maps"):
        review_loss(torch.zeros(2, 3), torch.zeros(2, 3))


def test_gradient_of_small_maps() -> None:
    """On 1 x 1 maps the gradient is 2 (r - t) / n."""
    small = numbers(2, 2, 1, 1), numbers(2, 2, 1, 1, seed=1)
    expected = 2 * (small[0] - small[1]) / small[0].numel()
    torch.testing.assert_close(gradient(review_loss, *small), expected)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[2] <= shape[3]])
def test_parity(shape: tuple[int, ...]) -> None:
    """torchdistill's, which looks at the height alone, is the same where the height is not the larger."""
    student, teacher = numbers(*shape), numbers(*shape, seed=1)
    theirs = HierarchicalContextLoss("s", "output", "t", "output")
    expected = theirs({"s": {"output": (student, None)}}, {"t": {"output": teacher}})
    torch.testing.assert_close(review_loss(student, teacher), expected, rtol=1e-9, atol=1e-12)


def test_weights_of_the_levels() -> None:
    """A difference that every pooling wipes out counts 1 / 1.875; a constant one counts fully."""
    board = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    board[..., ::2, ::2] = board[..., 1::2, 1::2] = -1
    zero = torch.zeros_like(board)
    assert review_loss(board, zero).item() == pytest.approx(1 / 1.875, rel=1e-12)
    assert review_loss(zero + 3, zero).item() == pytest.approx(9, rel=1e-12)


def test_mixture() -> None:
    """With attention weights of 0 each map counts sigmoid(bias), place by place as written."""
    mixture = AttentionFusion(2)
    own, deeper = numbers(2, 2, 3, 3).float(), numbers(2, 2, 3, 3, seed=1).float()
    weight, bias = mixture.attention.weight[:, :, 0, 0], mixture.attention.bias
    assert bias is not None
    found = mixture(own, deeper)
    for b, y, x in itertools.product(range(2), range(3), range(3)):
        seen = torch.cat([own[b, :, y, x], deeper[b, :, y, x]])
        first, second = torch.sigmoid(weight @ seen + bias)
        expected = own[b, :, y, x] * first + deeper[b, :, y, x] * second
        torch.testing.assert_close(found[b, :, y, x], expected)


def test_fusion() -> None:
    """The deepest stage is fused with nothing; each other one with what the next deeper one passed on."""
    review = ReviewFusion([pair((3, 8, 8), (5, 4, 4)), pair((4, 4, 4), (6, 8, 8))], widest=512)
    review.eval()
    shallow, deep = numbers(2, 3, 8, 8).float(), numbers(2, 4, 4, 4, seed=1).float()
    first, last = review.fusions
    assert last.mixture is None
    passed = last.enter(deep)
    own = first.enter(shallow)
    mixed = first.mixture(own, passed.repeat_interleave(2, 2).repeat_interleave(2, 3))
    found = review([shallow, deep], [(4, 4), (8, 8)])
    torch.testing.assert_close(found[1], last.leave(interpolate(passed, (8, 8))))
    torch.testing.assert_close(found[0], first.leave(mixed[..., ::2, ::2]))
    assert [tuple(f.shape) for f in found] == [(2, 5, 4, 4), (2, 6, 8, 8)]


def test_fusion_reaches_the_shallowest() -> None:
    """A middle stage passes on what it has fused, not its own features alone."""
    shapes = [(3, 8, 8), (4, 4, 4), (5, 2, 2)]
    review = ReviewFusion([pair(shape, shape) for shape in shapes], widest=512)
    maps = [numbers(2, *shape, seed=i).float().requires_grad_() for i, shape in enumerate(shapes)]
    found = review(maps, [shape[1:] for shape in shapes])
    for i, outcome in enumerate(found):
        seen = torch.autograd.grad(
            outcome.square().sum(), maps, retain_graph=True, allow_unused=True
        )
        assert [gradient is not None for gradient in seen] == [j >= i for j in range(3)]


@pytest.mark.parametrize(("channels", "width"), [(512, 4), (2, 2)])
def test_width(channels: int, width: int) -> None:
    """The fused features are as wide as the student's deepest stage, or as the setting allows."""
    term = ReviewTerm(
        [pair((3, 8, 8), (5, 8, 8)), pair((4, 4, 4), (6, 4, 4))], ReviewConfig(channels=channels)
    )
    for fusion in term.review.fusions:
        assert fusion.enter[0].out_channels == width


def network(*stages: tuple[str, int, int]) -> NetworkInfo:
    """A network of stages (path, channels, side)."""
    made = [Stage(*(FeaturePoint(path, (c, side, side)),) * 3, None) for path, c, side in stages]
    return NetworkInfo("Net", tuple(made), None, None, {s.end.path: s.end.shape for s in made})


def test_build() -> None:
    """What the stages return is compared, summed over them, and everything learns."""
    student, teacher = network(("s0", 3, 8), ("s1", 4, 4)), network(("t0", 5, 8), ("t1", 6, 4))
    term = ReviewTerm.build(
        ReviewConfig(channels=3), BuildContext(student, teacher, classes=4, images=9)
    )
    assert term.needs == Needs(student_points=("s0", "s1"), teacher_points=("t0", "t1"))
    assert not term.across_batch
    mine = {s.end.path: numbers(2, *s.end.shape).float() for s in student.stages}
    theirs = {t.end.path: numbers(2, *t.end.shape, seed=1).float() for t in teacher.stages}
    for features in mine.values():
        features.requires_grad_()
    loss = term(ModelOutput(torch.zeros(2, 4), mine), TeacherOutput(None, theirs), None, START)
    fused = term.review(list(mine.values()), [(8, 8), (4, 4)])
    parts = [review_loss(f, t).item() for f, t in zip(fused, theirs.values(), strict=True)]
    assert loss.item() == pytest.approx(sum(parts), rel=1e-5)
    torch.autograd.backward(loss)
    assert all(f.grad is not None and f.grad.abs().max() > 0 for f in mine.values())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())


def test_one_pair_and_tokens() -> None:
    """A single pair is enough; tokens without their class token are a map."""
    term = ReviewTerm([pair((17, 6), (8, 2, 2))])
    mine = numbers(3, 17, 6).float().requires_grad_()
    torch.autograd.backward(term_loss(term, mine, numbers(3, 8, 2, 2, seed=1).float()))
    assert mine.grad is not None
    assert mine.grad[:, 0].abs().max() == 0
    assert mine.grad[:, 1:].abs().max() > 0


def test_one_image() -> None:
    """A batch of one works where the maps have places; and, once training is done, where they have none."""
    term = ReviewTerm([pair((6, 2, 2), (8, 2, 2))])
    assert torch.isfinite(term_loss(term, torch.zeros(1, 6, 2, 2), torch.ones(1, 8, 2, 2)))
    term = ReviewTerm([pair((6, 1, 1), (8, 1, 1))]).eval()
    assert torch.isfinite(term_loss(term, torch.zeros(1, 6, 1, 1), torch.ones(1, 8, 1, 1)))
