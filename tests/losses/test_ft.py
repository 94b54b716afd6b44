"""Factor transfer against plain loops and other software, and its two stages: who learns when."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from support.losses.checks import batch_of, numbers, pair
from support.losses.tester import LossTester, add_five, channels, order, places, squares
from tutelage.config.losses.feature import FTConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature.ft import FTTerm, ft_loss, paraphrase_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import ModelOutput, NetworkInfo, Progress, TeacherOutput

FIRST, SECOND = Progress(0, 0, 0.0), Progress(1, 8, 0.125)
SHAPES = [(2, 3, 4, 4), (1, 2, 3, 5), (3, 4, 1, 1)]


def slow(student: Tensor, teacher: Tensor) -> float:
    """The formula of the docstring, number by number."""
    gaps = []
    for mine, theirs in zip(student.flatten(1).tolist(), teacher.flatten(1).tolist(), strict=True):
        lengths = [math.sqrt(math.fsum(x**2 for x in factor)) for factor in (mine, theirs)]
        gaps += [abs(s / lengths[0] - t / lengths[1]) for s, t in zip(mine, theirs, strict=True)]
    return math.fsum(gaps) / len(gaps)


def told(
    term: FTTerm, student: Tensor, teacher: Tensor, progress: Progress, *, train: bool = True
) -> Tensor:
    """What the term says of one pair of features at some point of the run."""
    logits = torch.zeros(len(student), 4)
    term.train(train)
    found: Tensor = term(
        ModelOutput(logits, {"a": student}),
        TeacherOutput(logits, {"b": teacher}),
        batch_of(len(student)),
        progress,
    )
    return found


SIZES = torch.tensor([1e-2, 1.0, 7.0, 1e3], dtype=torch.float64)[:, None, None, None]


class TestFT(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(ft_loss)
    name = "ft"
    shapes = (((4, 3, 2, 2), (4, 3, 2, 2)),)
    gradient_at_equality = 0.0
    scales = (1e-2, 1.0, 1e4)
    both = (order, channels, places)
    either = (lambda x: SIZES * x,)
    unlike = (torch.neg,)


class TestParaphrase(LossTester):
    """What holds for every loss of features."""

    loss = staticmethod(paraphrase_loss)
    slow = staticmethod(squares)
    name = "ft"
    shapes = tuple((shape, shape) for shape in SHAPES)
    gradient_at_equality = 0.0
    scales = (1e-2, 1.0, 1e4)
    both = (order, channels, places, add_five)


@given(shape=st.tuples(*[st.integers(1, 4)] * 4), seed=st.integers(0, 99))
@examples(30)
def test_oracle(shape: tuple[int, int, int, int], seed: int) -> None:
    """The loss equals plain loops."""
    student, teacher = numbers(*shape, seed=seed), numbers(*shape, seed=seed + 100)
    assert ft_loss(student, teacher).item() == pytest.approx(slow(student, teacher), rel=1e-9)


def test_closed_form() -> None:
    """Factors at a right angle differ by 1 in two of their n numbers; opposite ones by 2 in one."""
    across, up = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    across[0, 0, 0, 0], up[0, 1, 1, 1] = 3.0, 5.0
    assert ft_loss(across, up).item() == pytest.approx(2 / 8)
    assert ft_loss(across, -2 * across).item() == pytest.approx(2 / 8)


def test_refusals() -> None:
    """Settings that mean nothing are refused."""
    for wrong in ({"rate": 0.0}, {"rate": math.nan}, {"paraphraser": 1.0}, {"paraphraser": -0.1}):
        with pytest.raises(UsageError, match=r"losses\.ft\.\w+ is out of range"):
            FTTerm([pair((2, 2, 2), (2, 2, 2))], FTConfig(**wrong))


def test_other_software() -> None:
    """As torchdistill with p = 1; the paper's norm is n times that.

    RepDistiller compares the mean of the squared factors over channels instead: its weight is 200.
    """
    from torchdistill.losses.mid_level import FTLoss

    student, teacher = numbers(3, 4, 5, 5), numbers(3, 4, 5, 5, seed=1)
    shown = {"translator": {"output": student}}, {"paraphraser": {"output": teacher}}
    found = ft_loss(student, teacher)
    torch.testing.assert_close(found, FTLoss(p=1)(*shown), rtol=1e-6, atol=0)
    lengths = [x.flatten(1).norm(dim=1, keepdim=True) for x in (student, teacher)]
    gap = student.flatten(1) / lengths[0] - teacher.flatten(1) / lengths[1]
    torch.testing.assert_close(found * 100, gap.norm(p=1, dim=1).mean())


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((6, 4, 4), (8, 2, 2)), ((6, 2, 2), (8, 4, 4)), ((17, 6), (8, 4, 4)), ((6, 4, 4), (18, 8))],
)
def test_stages(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """First only the paraphraser learns, then the student and its translator do, and it stays as it is."""
    torch.manual_seed(0)
    term = FTTerm([pair(student, teacher)])
    assert term.staged
    assert not term.across_batch
    assert term.needs == Needs(student_points=("a",), teacher_points=("b",))
    mine, theirs = (
        numbers(5, *student).float().requires_grad_(),
        numbers(5, *teacher, seed=1).float(),
    )
    kept = {k: v.clone() for k, v in term.translators.state_dict().items()}

    torch.autograd.backward(told(term, mine, theirs, FIRST))
    assert mine.grad is None
    assert all(
        p.grad is not None and p.grad.abs().max() > 0 for p in term.paraphrasers.parameters()
    )
    assert all(p.grad is None for p in term.translators.parameters())
    for name, value in term.translators.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)

    term.zero_grad()
    kept = {k: v.clone() for k, v in term.paraphrasers.state_dict().items()}
    torch.autograd.backward(told(term, mine, theirs, SECOND))
    assert mine.grad is not None
    assert mine.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.translators.parameters())
    assert all(p.grad is None for p in term.paraphrasers.parameters())
    # The averages of its BatchNorm are used, and they do not move either.
    for name, value in term.paraphrasers.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)


def test_what_is_said() -> None:
    """The error of the paraphraser on the pooled map, then the distance of factors; images alone decide."""
    torch.manual_seed(0)
    term = FTTerm([pair((3, 2, 2), (4, 4, 4))])
    mine, theirs = numbers(5, 3, 2, 2).float(), numbers(5, 4, 4, 4, seed=1).float()
    pooled = torch.nn.functional.avg_pool2d(theirs, 2)
    paraphraser, translator = term.paraphrasers[0], term.translators[0]
    first = told(term, mine, theirs, FIRST)
    torch.testing.assert_close(first, paraphrase_loss(paraphraser(pooled), pooled))
    second = told(term, mine, theirs, SECOND)
    assert not paraphraser.training
    torch.testing.assert_close(second, ft_loss(translator(mine), paraphraser.encoder(pooled)))
    # Back to learning (as a resumed run may be), its BatchNorm learns again; a term in eval never does.
    told(term, mine, theirs, FIRST)
    assert paraphraser.training
    told(term, mine, theirs, FIRST, train=False)
    assert not paraphraser.training


@pytest.mark.parametrize(("share", "fraction", "learns"), [
    (0.125, 0.0, True), (0.125, 0.1249, True), (0.125, 0.125, False), (0.5, 0.4, True), (0.0, 0.0, False),
])  # fmt: skip
def test_when(share: float, fraction: float, learns: bool) -> None:
    """The paraphraser learns while less than its share of the run is done."""
    term = FTTerm([pair((2, 2, 2), (2, 2, 2))], FTConfig(paraphraser=share))
    features = numbers(4, 2, 2, 2).float().requires_grad_()
    torch.autograd.backward(told(term, features, features, Progress(0, 0, fraction)))
    assert (features.grad is None) == learns


def test_learning() -> None:
    """A few steps bring the paraphraser's error, and then the distance of the factors, down by much."""
    torch.manual_seed(0)
    term = FTTerm([pair((8, 2, 2), (8, 2, 2))], FTConfig(rate=1.0))
    features = numbers(16, 8, 2, 2).relu().float()
    optimizer = torch.optim.Adam(term.parameters(), lr=1e-2)
    for progress in (FIRST, SECOND):
        before = told(term, features, features, progress)
        for _ in range(80):
            optimizer.zero_grad()
            torch.autograd.backward(told(term, features, features, progress))
            optimizer.step()
        assert told(term, features, features, progress) < before / 2


@pytest.mark.parametrize(("rate", "factors"), [(0.5, 4), (0.01, 1), (0.3, 2), (2.0, 16)])
def test_rate(rate: float, factors: int) -> None:
    """The factors have that share of the teacher's channels, and at least one."""
    term = FTTerm([pair((3, 2, 2), (8, 2, 2))], FTConfig(rate=rate))
    assert term.paraphrasers[0].encoder(torch.zeros(2, 8, 2, 2)).shape == (2, factors, 2, 2)
    assert term.translators[0](torch.zeros(2, 3, 2, 2)).shape == (2, factors, 2, 2)
    assert term.paraphrasers[0](torch.zeros(2, 8, 2, 2)).shape == (2, 8, 2, 2)


@pytest.mark.parametrize("progress", [FIRST, SECOND])
def test_features_refused(progress: Progress) -> None:
    """One number a channel and features that are no maps are refused by name; equal images are not."""
    term = FTTerm([pair((2, 1, 1), (2, 1, 1))])
    one = torch.zeros(1, 2, 1, 1, requires_grad=True)
    with pytest.raises(InputError, match="ft"):
        told(term, one, one, progress)
    assert torch.isfinite(told(term, one, one, progress, train=False))
    with pytest.raises(InputError, match="ft compares maps"):
        told(term, torch.zeros(3, 2), torch.zeros(3, 2, 1, 1), progress)
    same = torch.ones(1, 2, 3, 3, requires_grad=True)
    loss = told(term, same, same, progress)
    assert torch.isfinite(loss)
    torch.autograd.backward(loss)
    assert all(torch.isfinite(p.grad).all() for p in term.parameters() if p.grad is not None)


def test_build() -> None:
    """Built from its settings; what it has learned, averages too, is kept and comes back."""
    anatomy = NetworkInfo("net", (), None, None, {"a": (4, 3, 3), "b": (4, 3, 3)})
    ground = BuildContext(anatomy, anatomy, classes=3, images=9)
    named = {"student_points": ("a",), "teacher_points": ("b",)}
    term = FTTerm.build(FTConfig(rate=1.5, paraphraser=0.25, **named), ground)
    assert term.settings.paraphraser == 0.25
    assert term.paraphrasers[0].encoder(torch.zeros(2, 4, 3, 3)).shape[1] == 6
    assert FTTerm.build(FTConfig(**named), ground).settings.paraphraser == 0.125
    mine, theirs = numbers(4, 4, 3, 3).float(), numbers(4, 4, 3, 3, seed=1).float()
    told(term, mine, theirs, FIRST)
    other = FTTerm.build(FTConfig(rate=1.5, paraphraser=0.25, **named), ground)
    later = Progress(1, 9, 0.9)
    assert told(other, mine, theirs, later) != told(term, mine, theirs, later)
    other.load_state_dict(term.state_dict())
    assert told(other, mine, theirs, later) == told(term, mine, theirs, later)
