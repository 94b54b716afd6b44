"""Weighted soft labels against plain loops, its weight's limits, unlabelled rows, refusals, its term."""

import math
from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from support.losses.checks import gradcheck, gradient, numbers, spares_the_teacher
from support.losses.logit_tester import TEMPERATURES, LogitLossTester
from tutelage.config.losses.response import WSLDConfig
from tutelage.losses.response.kd import kd_loss
from tutelage.losses.response.wsld import WSLDTerm, wsld_loss


def labels_of(batch: int, classes: int, *, seed: int = 0, lowest: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(lowest, classes, (batch,), generator=generator)


def log_softmax(row: list[float], temperature: float = 1.0) -> list[float]:
    row = [value / temperature for value in row]
    norm = max(row) + math.log(math.fsum(math.exp(value - max(row)) for value in row))
    return [value - norm for value in row]


def slow_wsld(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> float:
    """The formula of the docstring, number by number; ordinary logits only."""
    rows = []
    for s, t, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        if label < 0:
            continue
        log_q, log_p = log_softmax(s, temperature), log_softmax(t, temperature)
        kl = math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True))
        ratio = log_softmax(s)[label] / log_softmax(t)[label] if len(s) > 1 else 1.0
        rows.append((1 - math.exp(-ratio)) * kl)
    return temperature**2 * math.fsum(rows) / max(1, len(rows))


def share(student: list[float], teacher: list[float], dtype: torch.dtype = torch.float32) -> float:
    """The weight of an image of class 0: the loss, as a share of the same without weights."""
    mine, theirs = torch.tensor([student], dtype=dtype), torch.tensor([teacher], dtype=dtype)
    # So soft that the divergence, too, is above 0 in fp32.
    temperature = max(2.0, student[0] / 10, teacher[0] / 10)
    found = wsld_loss(mine, theirs, torch.tensor([0]), temperature=temperature)
    return (found / kd_loss(mine, theirs, temperature=temperature)).item()


class TestWSLD(LogitLossTester):
    """What holds for every loss on logits."""

    loss = staticmethod(wsld_loss)
    slow = staticmethod(slow_wsld)
    term, config = WSLDTerm, WSLDConfig
    labelled = across_batch = True
    drawn = {"temperature": st.sampled_from(TEMPERATURES)}
    defaults = {"temperature": 2.0}
    settings = {"temperature": 3.0}
    spreads = (0.0, 1e-4, 1.0, 20.0, 1e4)

    def test_gradient(self) -> None:
        """Finite differences agree where the weight is at its bound, and so cannot move."""
        student, teacher = numbers(3, 5), numbers(3, 5, seed=1)
        labels = teacher.argmax(1)
        teacher = teacher + 60 * F.one_hot(labels, 5)
        assert gradcheck(self.of({"temperature": 20.0}, labels), student, teacher)


def test_relation_to_the_authors_code() -> None:
    """Its weighted cross-entropy with the soft labels has the same gradient, as the weights are constants."""
    student, teacher, labels = numbers(6, 5), numbers(6, 5, seed=1), labels_of(6, 5)
    student.requires_grad_()
    ce = [F.cross_entropy(z.detach(), labels, reduction="none") for z in (student, teacher)]
    weights = 1 - torch.exp(-ce[0] / (ce[1] + 1e-7))
    soft = F.cross_entropy(student / 2, (teacher / 2).softmax(1), reduction="none")
    (expected,) = torch.autograd.grad(4 * (weights * soft).mean(), student)
    found = gradient(lambda s, t: wsld_loss(s, t, labels), student, teacher)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_gradient() -> None:
    """It is kd's, row by row, times the weight: the weight is a constant to it."""
    student, teacher, labels = numbers(3, 5), numbers(3, 5, seed=1), torch.tensor([4, -1, 0])
    found = gradient(lambda s, t: wsld_loss(s, t, labels), student, teacher)
    ce = [F.cross_entropy(z, labels.clamp(min=0), reduction="none") for z in (student, teacher)]
    weights = (1 - torch.exp(-ce[0] / ce[1])) * torch.tensor([1, 0, 1])
    # Three rows in kd's mean, two in this one.
    expected = (
        gradient(partial(kd_loss, temperature=2.0), student, teacher) * weights[:, None] * 1.5
    )
    torch.testing.assert_close(found, expected)
    spares_the_teacher(lambda s, t: wsld_loss(s, t, labels), student, teacher)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [1.0, 20.0, 50.0, 500.0, 1e4])
def test_weight_of_the_sure(margin: float, dtype: torch.dtype) -> None:
    """Networks equally sure of the label weigh 1 - 1/e, however sure: no 0 / 0."""
    # The same cross-entropy, and other classes in another order, so that there is something to learn.
    found = share([margin, 0.0, 4.0], [margin, 4.0, 0.0], dtype)
    assert found == pytest.approx(1 - math.exp(-1), rel=1e-5)
    same = torch.tensor([[margin, 0.0, 4.0]], dtype=dtype)
    assert wsld_loss(same, same, torch.tensor([0])).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [30.0, 45.0, 300.0])
def test_weight_between_two_sure(margin: float, dtype: torch.dtype) -> None:
    """Margins whose cross-entropies are 0 in fp32 still tell who is surer, by the powers of e."""
    for lead in (-3.0, 0.5, 2.0):
        found = share([margin, 0.0, -lead], [margin, -lead, -lead], dtype)
        expected = (1 + math.exp(-lead)) / (2 * math.exp(-lead))
        assert found == pytest.approx(1 - math.exp(-expected), rel=1e-3)


@pytest.mark.parametrize(("mine", "theirs"), [(12.0, 12.5), (11.0, 9.0), (41.0, 39.5), (60, 59)])
def test_weight_of_two_classes(mine: float, theirs: float) -> None:
    """The closed form log(1 + e^-margin), to many digits on both sides of where the formula changes."""
    fraction = math.log1p(math.exp(-mine)) / math.log1p(math.exp(-theirs))
    found = share([mine, 0.0], [theirs, 0.0], torch.float64)
    assert found == pytest.approx(1 - math.exp(-fraction), rel=1e-11)


def test_limits_of_the_weight() -> None:
    """1 where the teacher is sure and the student is not, 0 the other way round."""
    assert share([0.0, 1.0, 0.0], [1e4, 0.0, 0.0]) == pytest.approx(1.0)
    assert share([1e4, 0.0, 0.0], [0.0, 1.0, 0.0]) == 0.0


def test_weights_lie_between_0_and_1() -> None:
    """Row by row the loss is no more than kd's."""
    for seed in range(20):
        student, teacher = numbers(1, 5, seed=seed, scale=9), numbers(1, 5, seed=seed + 99, scale=9)
        found = wsld_loss(student, teacher, torch.tensor([seed % 5]))
        assert 0 <= found.item() <= kd_loss(student, teacher, temperature=2.0).item() * (1 + 1e-12)
