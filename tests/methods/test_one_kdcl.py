"""Online ensemble: what networks say together, against slow loops; who is moved by what."""

import copy
import math

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
    teaching,
    train,
    training_facts,
    waits,
)
from tutelage.config.methods import MethodOptions
from tutelage.config.methods import OnlineEnsembleConfig as Settings
from tutelage.config.training import OptimizationConfig
from tutelage.methods.factory import build_method
from tutelage.methods.online.one_kdcl import (
    Combine,
    EnsembleGate,
    OnlineEnsemble,
    gated_logits,
    least_loss_logits,
)
from tutelage.models.preprocess import Classifier
from tutelage.types import NO_TEACHER_OUTPUT, MixedLabels

COMBINE: tuple[Combine, ...] = ("gate", "mean", "least-loss")


def ensemble(
    networks: list[Classifier], combine: Combine, temperature: float = 3.0
) -> OnlineEnsemble:
    methods = MethodOptions(one=Settings(combine=combine))
    settings = teaching("one", published(temperature), methods=methods)
    method = build_method(settings, networks[0], networks[1:], training_facts())
    assert isinstance(method, OnlineEnsemble)
    return method


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def slow_gate(said: Tensor, weight: Tensor, bias: Tensor) -> list[list[float]]:
    """Number by number: scores of the networks, their softmax, and the weighted sum."""
    count, images, classes = said.shape
    rows = []
    for i in range(images):
        read = [float(said[k, i, c]) for k in range(count) for c in range(classes)]
        scores = [
            sum(float(w) * x for w, x in zip(weight[k], read, strict=True)) + float(bias[k])
            for k in range(count)
        ]
        total = sum(math.exp(score) for score in scores)
        shares = [math.exp(score) / total for score in scores]
        rows.append(
            [sum(shares[k] * float(said[k, i, c]) for k in range(count)) for c in range(classes)]
        )
    return rows


@pytest.mark.parametrize(("count", "images", "classes"), [(1, 3, 4), (2, 5, 3), (3, 4, 6)])
def test_gate(count: int, images: int, classes: int) -> None:
    """The gated logits are those of the formula, and so are their gradients."""
    said = numbers(count, images, classes)
    weight, bias = 0.3 * numbers(count, count * classes, seed=1), numbers(count, seed=2)
    expected = torch.tensor(slow_gate(said, weight, bias), dtype=torch.float64)
    torch.testing.assert_close(gated_logits(said, weight, bias), expected, rtol=1e-12, atol=1e-12)
    leaves = tuple(tensor.requires_grad_() for tensor in (said, weight, bias))
    assert torch.autograd.gradcheck(gated_logits, leaves)


def test_gate_begins_as_the_mean() -> None:
    """Before the first step the gate gives every network the same share."""
    said = numbers(3, 4, CLASSES)
    gate = EnsembleGate(3, CLASSES).double()
    torch.testing.assert_close(gate(said), said.mean(0), rtol=1e-12, atol=1e-12)


def slow_least(said: Tensor, labels: Tensor, mixed: MixedLabels | None) -> list[list[float]]:
    """Image by image: the network with the least cross-entropy, or the mean where a label is unknown."""
    rows = []
    for i in range(said.shape[1]):
        targets = [(int(labels[i]), 1.0)]
        if mixed is not None:
            share = float(mixed.share[i])
            targets = [(int(labels[i]), share), (int(mixed.labels[i]), 1 - share)]
        if any(label < 0 for label, _ in targets):
            rows.append([float(column.mean()) for column in said[:, i].T])
            continue
        losses = []
        for one in said[:, i]:
            total = sum(math.exp(float(z)) for z in one)
            losses.append(sum(s * (math.log(total) - float(one[y])) for y, s in targets))
        rows.append(said[losses.index(min(losses)), i].tolist())
    return rows


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("mix", [False, True])
def test_least_loss(count: int, mix: bool) -> None:
    """The logits of least cross-entropy by a slow search: unknown labels, mixed labels."""
    said = numbers(count, 9, CLASSES, seed=count)
    labels = torch.tensor([0, 1, 2, 3, 4, 0, -1, 2, -1])
    mixed = None
    if mix:
        share = torch.tensor([0.9, 0.5, 0.1, 1.0, 0.0, 0.7, 0.7, 0.2, 0.4], dtype=torch.float64)
        mixed = MixedLabels(torch.tensor([4, 3, 2, 1, 0, -1, 3, 0, -1]), share)
    expected = torch.tensor(slow_least(said, labels, mixed), dtype=torch.float64)
    torch.testing.assert_close(
        least_loss_logits(said, labels, mixed), expected, rtol=1e-12, atol=1e-12
    )


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of softened words."""
    of = (teacher.detach() / temperature).softmax(1)
    log_of = (teacher.detach() / temperature).log_softmax(1)
    log_from = (student / temperature).log_softmax(1)
    return temperature**2 * (of * (log_of - log_from)).sum(1).mean()


@pytest.mark.parametrize(
    "training", [SGD, OptimizationConfig(optimizer="adam", lr=0.01)], ids=["sgd", "adam"]
)
@pytest.mark.parametrize("combine", COMBINE)
def test_by_hand(combine: Combine, training: OptimizationConfig) -> None:
    """Three networks, and the gate, each with a plain optimizer of its own, in a loop by hand."""
    method = ensemble([network(seed).double() for seed in range(3)], combine).double()
    networks = [network(seed).double() for seed in range(3)]
    gate = copy.deepcopy(method.gate)
    learners = [*networks, *([gate] if gate is not None else [])]
    found = train(method, training)
    optimizers = [optimiser(one, training) for one in learners]
    for batch, step in zip(batches(), found, strict=True):
        logits = [one(batch.images).logits for one in networks]
        said = torch.stack([one.detach() for one in logits])
        if gate is not None:
            together = gated_logits(said, gate.weight, gate.bias)
        elif combine == "mean":
            together = sum(said) / 3
        else:
            rows = slow_least(said, batch.labels, None)
            together = torch.tensor(rows, dtype=torch.float64)
        labels = [F.cross_entropy(one, batch.labels, ignore_index=-1) for one in logits]
        losses = [
            label + divergence(together, one, 3.0)
            for label, one in zip(labels, logits, strict=True)
        ]
        if gate is not None:
            losses.append(F.cross_entropy(together, batch.labels, ignore_index=-1))
            torch.testing.assert_close(step["ensemble.label"], losses[-1].detach())
        for one, value in zip(optimizers, losses, strict=True):
            one.zero_grad()
            torch.autograd.backward(value)
            one.step()
    for one, other in zip([method.student, *method.peers], networks, strict=True):
        assert_near(one, other)
    if gate is not None:
        assert method.gate is not None
        assert_near(method.gate, gate)
        assert method.gate.weight.abs().max() > 0


@pytest.mark.parametrize("combine", COMBINE)
def test_who_is_moved(combine: Combine) -> None:
    """Each network is moved by its own terms alone, and the gate by its own; the ensemble is only heard."""
    method = ensemble([network(0), network(1, "cifar_resnet14"), network(2)], combine)
    outcome = method(batches(1)[0], NO_TEACHER_OUTPUT, progress_at(0))
    own = {"ensemble.label"} if combine == "gate" else set()
    names = {f"{who}{term}" for who in ("", "peer1.", "peer2.") for term in ("label", "kd")}
    assert set(outcome.terms) == set(method.weights) == names | own
    assert method.weights_at(progress_at(1)) == method.weights
    learners = list(method.learners)
    assert len(learners) == 3 + len(own)
    for name, value in outcome.terms.items():
        owner = 3 if name in own else int(name[4]) if name.startswith("peer") else 0
        assert reached(value, learners) == [i == owner for i in range(len(learners))], name
    everything = {id(p) for one in learners for p in one.parameters()}
    assert everything == {id(p) for p in method.parameters()}


@pytest.mark.parametrize("combine", COMBINE)
def test_nothing_waits(combine: Combine) -> None:
    """No step asks the device for a number."""
    assert waits(ensemble([network(0), network(1)], combine)) == []
