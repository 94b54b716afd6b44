"""Deep mutual learning: against plain training, against loops with an optimizer each; what never moves."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from support.methods.online import (
    CLASSES,
    SGD,
    assert_near,
    batches,
    network,
    optimiser,
    progress_at,
    published,
    reached,
    same,
    teaching,
    train,
    training_facts,
    waits,
    watched,
)
from tutelage.config.job import TrainConfig
from tutelage.config.losses.feature import HintConfig, SRRLConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.methods import DMLConfig as Settings
from tutelage.config.methods import MethodConfig, MethodOptions
from tutelage.config.objective import LossConfig
from tutelage.config.training import OptimizationConfig
from tutelage.errors import UsageError
from tutelage.methods.factory import build_method
from tutelage.methods.offline import supervised_training
from tutelage.methods.online.dml import DeepMutualLearning, build_dml
from tutelage.methods.online.peers import teacher_output_of
from tutelage.models.preprocess import Classifier
from tutelage.types import NO_TEACHER_OUTPUT

ADAM = OptimizationConfig(optimizer="adam", lr=0.01)


def mutual(
    networks: list[Classifier], terms: LossConfig | None = None, *, alternate: bool = False
) -> DeepMutualLearning:
    methods = MethodOptions(dml=Settings(alternate=alternate))
    settings = teaching("dml", terms, methods=methods)
    method = build_method(settings, networks[0], networks[1:], training_facts())
    assert isinstance(method, DeepMutualLearning)
    return method


@pytest.mark.parametrize("training", [SGD, ADAM], ids=["sgd", "adam"])
def test_one_network_is_plain_training(training: OptimizationConfig) -> None:
    """Without companions, terms and weights after three steps are those of cross-entropy, to the byte."""
    method, plain = mutual([network(1)]), supervised_training(network(1), label_smoothing=0.0)
    assert list(method.weights) == ["label"]
    assert train(method, training) == train(plain, training)
    assert same(method.student, plain.student)
    assert not same(method.student, network(1))


@pytest.mark.parametrize("training", [SGD, ADAM], ids=["sgd", "adam"])
def test_equal_networks_stay_equal(training: OptimizationConfig) -> None:
    """Two networks that begin with the same bytes end with the same bytes, and not with those they had."""
    method = mutual([network(1), network(1)])
    terms = train(method, training)
    assert same(method.student, method.peers[0])
    assert not same(method.student, network(1))
    assert [step["kd"].item() for step in terms] == [0.0, 0.0, 0.0]


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) by the words of the paper."""
    of, log_of = teacher.detach().softmax(1), teacher.detach().log_softmax(1)
    return (of * (log_of - student.log_softmax(1))).sum(1).mean()


def loss(number: int, logits: list[Tensor], labels: Tensor) -> Tensor:
    """The paper's loss of one network."""
    others = [other for j, other in enumerate(logits) if j != number]
    words = [divergence(other, logits[number]) for other in others]
    return F.cross_entropy(logits[number], labels, ignore_index=-1) + sum(words) / len(words)


@pytest.mark.parametrize("training", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("count", [2, 3])
def test_all_at_once(training: OptimizationConfig, count: int) -> None:
    """One optimizer for all does what an own plain optimizer for each network does in a loop by hand."""
    method = mutual([network(seed).double() for seed in range(count)])
    by_hand = [network(seed).double() for seed in range(count)]
    found = train(method, training)
    optimizers = [optimiser(one, training) for one in by_hand]
    for batch, step in zip(batches(), found, strict=True):
        logits = [one(batch.images).logits for one in by_hand]
        losses = [loss(number, logits, batch.labels) for number in range(count)]
        for one, value in zip(optimizers, losses, strict=True):
            one.zero_grad()
            torch.autograd.backward(value)
            one.step()
        names = ["", *(f"peer{number}." for number in range(1, count))]
        for name, value in zip(names, losses, strict=True):
            told = step[f"{name}label"] + step[f"{name}kd"]
            torch.testing.assert_close(told, value.detach(), rtol=1e-9, atol=0)
    for one, other in zip([method.student, *method.peers], by_hand, strict=True):
        assert_near(one, other)


@pytest.mark.parametrize("training", [SGD, ADAM], ids=["sgd", "adam"])
def test_one_after_the_other(training: OptimizationConfig) -> None:
    """Algorithm 1: after each update all predictions are made anew; norms move in their own turn alone."""
    method = mutual([network(seed).double() for seed in range(3)], alternate=True)
    assert method.phases == 3
    by_hand = [network(seed).double() for seed in range(3)]
    found = train(method, training)
    assert [len(step) for step in found] == [6, 6, 6]
    optimizers = [optimiser(one, training) for one in by_hand]
    for batch in batches():
        for number, one in enumerate(optimizers):
            # A copy answers for a network whose turn it is not.
            answering = [
                other if j == number else copy.deepcopy(other) for j, other in enumerate(by_hand)
            ]
            logits = [other(batch.images).logits for other in answering]
            one.zero_grad()
            torch.autograd.backward(loss(number, logits, batch.labels))
            one.step()
    for one, other in zip([method.student, *method.peers], by_hand, strict=True):
        assert_near(one, other)
    at_once = mutual([network(seed).double() for seed in range(3)])
    train(at_once, training)
    with pytest.raises(AssertionError):
        assert_near(at_once.peers[1], method.peers[1], most=1e-6)


def test_a_turn_leaves_the_others_alone() -> None:
    """In a phase one network gets a gradient; weights, norms and counters of the others keep their bytes."""
    method = mutual([network(seed) for seed in range(3)], alternate=True)
    (batch,) = batches(1)
    for phase in range(3):
        networks = [method.student, *method.peers]
        before = [copy.deepcopy(one) for one in networks]
        method.zero_grad()
        outcome = method(batch, NO_TEACHER_OUTPUT, progress_at(0), phase=phase)
        torch.autograd.backward(method.total(outcome))
        for number, (one, old) in enumerate(zip(networks, before, strict=True)):
            assert any(p.grad is not None for p in one.parameters()) == (number == phase)
            assert same(one, old) == (number != phase)


FEATURES = LossConfig(
    label=LabelConfig(weight=1.0), kd=KDConfig(weight=1.0), hint=HintConfig(weight=2.0)
)


def test_gradients_never_reach_a_peer() -> None:
    """Each term moves its own network, and adapters of its own; logits and features of the others stop it."""
    method = mutual([network(0), network(1, "cifar_resnet14"), network(2)], FEATURES)
    (batch,) = batches(1)
    outcome = method(batch, NO_TEACHER_OUTPUT, progress_at(0))
    assert len(outcome.terms) == 9
    for name, value in outcome.terms.items():
        owner = int(name[4]) if name.startswith("peer") else 0
        networks = [method.student, *method.peers]
        assert reached(value, networks) == [number == owner for number in range(3)], name
        adapters = reached(value, list(method.lessons))
        assert adapters == [number == owner and "hint" in name for number in range(3)], name


def test_every_ordered_pair_has_terms_of_its_own() -> None:
    """Six pairs of three networks: six adapters with six different beginnings; the value is their mean."""
    method = mutual([network(0), network(1), network(2)], FEATURES)
    weights = []
    for number in range(3):
        for terms in method.lessons_of(number):
            (first,) = [p for n, p in terms["hint"].named_parameters() if p.ndim == 4]
            weights.append(first)
    assert len(weights) == 6
    assert not any(torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])
    assert [len(terms) for number in range(3) for terms in method.lessons_of(number)] == [3, 2] * 3
    (batch,) = batches(1)
    value = method(batch, NO_TEACHER_OUTPUT, progress_at(0)).terms["peer1.hint"]
    outputs = [method.say(number, batch.images) for number in range(3)]
    each = []
    for other, terms in zip((0, 2), method.lessons_of(1), strict=True):
        each.append(
            terms["hint"](outputs[1], teacher_output_of(outputs[other]), batch, progress_at(0))
        )
    torch.testing.assert_close(value, (each[0] + each[1]) / 2)


def test_schedules_are_those_of_every_network() -> None:
    """Weights of all terms of all networks, and their schedule, stand in the method's list."""
    kd = KDConfig(weight=2.0, from_epoch=0.5)
    method = mutual([network(0), network(1)], LossConfig(label=LabelConfig(weight=0.5), kd=kd))
    assert method.weights == {"label": 0.5, "kd": 2.0, "peer1.label": 0.5, "peer1.kd": 2.0}
    early, late = method.weights_at(progress_at(0)), method.weights_at(progress_at(2))
    assert early == {**method.weights, "kd": 0.0, "peer1.kd": 0.0}
    assert late == method.weights


def test_each_learner_is_clipped_apart() -> None:
    """With a bound on the gradient each network, with its adapters, moves by exactly as much."""
    plain = OptimizationConfig(optimizer="sgd", lr=1.0, momentum=0.0, clip_grad=0.01)
    method = mutual([network(0), network(1)], FEATURES)
    before = [[p.detach().clone() for p in one.parameters()] for one in method.learners]
    train(method, plain, batches(1))
    for one, old in zip(method.learners, before, strict=True):
        moved = [p.detach() - q for p, q in zip(one.parameters(), old, strict=True)]
        norm = torch.cat([part.flatten() for part in moved]).norm().item()
        assert norm == pytest.approx(0.01, rel=1e-3)
    everything = {id(p) for one in method.learners for p in one.parameters()}
    assert everything == {id(p) for p in method.parameters()}


def test_nothing_waits() -> None:
    """No phase asks the device for a number, and the watch sees what does."""
    with watched() as found:
        torch.ones(1).item()
    assert found
    assert waits(mutual([network(0), network(1)], FEATURES)) == []
    assert waits(mutual([network(0), network(1)], FEATURES, alternate=True)) == []


def test_gathered_gradients_do_not_go_with_turns() -> None:
    """Gradients over several batches and turns are refused together, each alone is not."""
    turns = MethodOptions(dml=Settings(alternate=True))
    settings = TrainConfig(method="dml", methods=turns, losses=published(), grad_accum_steps=2)
    with pytest.raises(UsageError, match="grad_accum_steps = 2"):
        build_dml(settings, network(0), [network(1)], training_facts())
    for changes in ({"grad_accum_steps": 1}, {"methods": MethodOptions()}):
        allowed: Any = dataclasses.replace(settings, **changes)
        assert build_dml(allowed, network(0), [network(1)], training_facts()).companions


def test_copies_of_weights_are_refused() -> None:
    """A term that copies its teacher's last layer before training means nothing where that layer learns."""
    terms = LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=1.0), srrl=SRRLConfig())
    settings = MethodConfig(method="dml", losses=terms)
    with pytest.raises(UsageError, match=r"losses.srrl .* still learning"):
        build_method(settings, network(0), [network(1)], training_facts())


def test_outcome_is_the_students() -> None:
    """Logits are those of the student and detached; companions are the others."""
    method = mutual([network(0), network(1)])
    (batch,) = batches(1)
    outcome = method(batch, NO_TEACHER_OUTPUT, progress_at(0))
    assert torch.equal(outcome.logits, network(0)(batch.images).logits.detach())
    assert outcome.logits.shape == (7, CLASSES)
    assert list(method.companions) == list(method.peers)
