"""Tf-KD: the virtual teacher's word by loops, label smoothing as its special case, mixtures."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from support.methods.self_student import CLASSES, at, batch_of, gradients, made, network
from tutelage.config.losses.response import KDConfig, LabelConfig, TTMConfig
from tutelage.config.methods import TfKDConfig
from tutelage.config.objective import LossConfig
from tutelage.methods.self.tf_kd import virtual_logits
from tutelage.types import NO_TEACHER_OUTPUT, MixedLabels

LABELS = torch.tensor([0, 3, -1, 1])


def by_loop(labels: Tensor, correct: float) -> Tensor:
    """The probabilities, one at a time."""
    rows = [
        [
            1 / CLASSES if y < 0 else correct if k == y else (1 - correct) / (CLASSES - 1)
            for k in range(CLASSES)
        ]
        for y in labels.tolist()
    ]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("correct", [0.99, 0.5])
@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_word(correct: float, temperature: float) -> None:
    """Softened by T it is u^(1 / T), normalised; of an unknown label, all classes alike."""
    logits = virtual_logits(LABELS, CLASSES, correct=correct, dtype=torch.float64)
    powers = by_loop(LABELS, correct) ** (1 / temperature)
    expected = powers / powers.sum(1, keepdim=True)
    torch.testing.assert_close(F.softmax(logits / temperature, dim=1), expected)
    assert virtual_logits(LABELS, CLASSES, correct=correct).dtype == torch.float32


def test_a_mixture() -> None:
    """About two images it says what it says of each, by their shares."""
    mixed = MixedLabels(torch.tensor([2, 3, 1, -1]), torch.tensor([0.25, 0.5, 1.0, 0.0]))
    logits = virtual_logits(LABELS, CLASSES, correct=0.9, mixed=mixed, dtype=torch.float64)
    share = mixed.share.double()[:, None]
    expected = share * by_loop(LABELS, 0.9) + (1 - share) * by_loop(mixed.labels, 0.9)
    torch.testing.assert_close(logits.exp(), expected)


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_label_smoothing_is_a_special_case(smoothing: float) -> None:
    """At T = 1 and alpha (1 - correct) / (C - 1) = s / C: equal gradients, values apart by alpha H(u)."""
    correct = 0.6
    alpha = smoothing * (CLASSES - 1) / (CLASSES * (1 - correct))
    student, batch = network().double(), batch_of()
    terms = LossConfig(kd=KDConfig(temperature=1.0))
    method = made("tf-kd", student, alpha=alpha, terms=terms, tf_kd=TfKDConfig(correct=correct))
    outcome = method(batch, NO_TEACHER_OUTPUT, at(1))
    found = gradients(method, outcome, at(1))
    student.zero_grad()
    logits = student(batch.images).logits
    expected = F.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
    torch.autograd.backward(expected)
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)
    entropy = -correct * math.log(correct) - (1 - correct) * math.log((1 - correct) / (CLASSES - 1))
    total = method.total(outcome, at(1)).item()
    assert total + alpha * entropy == pytest.approx(expected.item(), rel=1e-12)


def test_the_published_term() -> None:
    """0.9 CE + 0.1 KL(u^20 || q), T on the teacher alone, by the formula."""
    terms = LossConfig(
        label=LabelConfig(weight=0.9), kd=None, ttm=TTMConfig(weight=0.1, temperature=20.0)
    )
    method, batch = made("tf-kd", terms=terms), batch_of()
    outcome = method(batch, NO_TEACHER_OUTPUT, at(0))
    powers = by_loop(batch.labels, 0.99) ** (1 / 20)
    u = powers / powers.sum(1, keepdim=True)
    log_q = outcome.logits.log_softmax(1)
    expected = 0.9 * F.cross_entropy(outcome.logits, batch.labels)
    expected += 0.1 * (u * (u.log() - log_q)).sum(1).mean()
    torch.testing.assert_close(method.total(outcome, at(0)), expected)


def test_a_mixed_batch() -> None:
    """Mixtures are heard: another share is another loss."""
    method, batch = made("tf-kd").eval(), batch_of()
    values = []
    for share in (1.0, 0.25):
        mixed = MixedLabels(batch.labels.roll(1), torch.full((6,), share))
        values.append(
            method(batch._replace(mixed=mixed), NO_TEACHER_OUTPUT, at(0)).terms["kd"].item()
        )
    plain = method(batch, NO_TEACHER_OUTPUT, at(0)).terms["kd"].item()
    assert values[0] == pytest.approx(plain)
    assert abs(values[1] - plain) > 1e-3
