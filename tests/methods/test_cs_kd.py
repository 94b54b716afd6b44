"""CS-KD: value, gradients and BatchNorm by a hand-written step; nothing flows through the partner."""

import copy

import pytest
import torch
from torch.nn import functional as F

from support.methods.self_student import at, batch_of, gradients, made, network
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.objective import LossConfig
from tutelage.errors import UsageError
from tutelage.types import NO_TEACHER_OUTPUT

TERMS = LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=0.5, temperature=4.0))


def test_against_a_step_by_hand() -> None:
    """CE(x) + 0.5 * 16 * KL(sg p(x') || p(x)), written out; two steps, so that norms have seen both."""
    student = network().double()
    plain = copy.deepcopy(student)
    method = made("cs-kd", student, terms=TERMS)
    for first in (0, 6):
        batch = batch_of(first=first)
        assert batch.partners is not None
        outcome = method(batch, NO_TEACHER_OUTPUT, at(0))
        found = gradients(method, outcome, at(0))
        logits = plain(batch.images).logits
        with torch.no_grad():
            p = F.softmax(plain(batch.partners).logits / 4, dim=1)
        divergence = (p * (p.log() - F.log_softmax(logits / 4, dim=1))).sum(1).mean()
        expected = F.cross_entropy(logits, batch.labels) + 0.5 * 16 * divergence
        torch.testing.assert_close(method.total(outcome, at(0)), expected)
        assert outcome.terms["kd"].item() > 1e-3
        plain.zero_grad()
        torch.autograd.backward(expected)
        hand = {f"student.{n}": p.grad for n, p in plain.named_parameters()}
        assert found.keys() == hand.keys()
        for name, gradient in hand.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(dict(student.named_buffers()), dict(plain.named_buffers()))


def test_its_own_partner() -> None:
    """An image that is its own partner hears what it says: nothing to learn but the label."""
    method = made("cs-kd", terms=TERMS)
    batch = batch_of()
    outcome = method(batch._replace(partners=batch.images), NO_TEACHER_OUTPUT, at(0))
    assert outcome.terms["kd"].item() == pytest.approx(0.0, abs=1e-12)
    assert outcome.terms["label"].item() > 0.1


def test_partners_are_asked_for() -> None:
    """The method says that it wants them, others do not; a batch without is refused by name."""
    method = made("cs-kd", terms=TERMS)
    assert method.wants_partners
    assert not made("tf-kd").wants_partners
    with pytest.raises(UsageError, match="cs-kd"):
        method(batch_of()._replace(partners=None), NO_TEACHER_OUTPUT, at(0))
