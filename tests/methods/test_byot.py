"""Be your own teacher: value and gradients by a formula, weights, and a network that stays plain."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from support.methods.self_student import (
    CLASSES,
    SIZE,
    at,
    batch_of,
    gradients,
    made,
    network,
    training_facts,
)
from tutelage.config.losses.response import DISTConfig, KDConfig, LabelConfig
from tutelage.config.methods import BYOTConfig as Settings
from tutelage.config.objective import LossConfig
from tutelage.errors import UsageError
from tutelage.methods.describe import describe_terms
from tutelage.methods.method import Method
from tutelage.methods.self.byot import BeYourOwnTeacher, EarlyExit
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.types import NO_TEACHER_OUTPUT, Batch

TERMS = LossConfig(kd=KDConfig(temperature=3.0))
LAYERS = ("layer1", "layer2", "layer3")


def ends(method: Method) -> list[EarlyExit]:
    """The exits, from the first stage on."""
    assert isinstance(method, BeYourOwnTeacher)
    return [end for end in method.exits if isinstance(end, EarlyExit)]


def by_formula(
    method: Method, batch: Batch, *, features: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """0.7 CE + 0.3 * 9 KL + features * d for two exits, CE for the whole; and the terms, written out."""
    student = method.student
    at_end: dict[str, Tensor] = {}
    hooks = [
        student.get_submodule(f"network.{layer}").register_forward_hook(
            lambda _m, _i, gave, layer=layer: at_end.update({layer: gave})
        )
        for layer in LAYERS
    ]
    logits = student(batch.images).logits
    for hook in hooks:
        hook.remove()
    terms = {"label": F.cross_entropy(logits, batch.labels)}
    total = terms["label"]
    p = (logits.detach() / 3).softmax(1)
    last = at_end["layer3"].detach()
    for number, end in enumerate(ends(method), 1):
        made_of = end.bottleneck(at_end[f"layer{number}"])
        said = end.head(made_of.mean((2, 3)))
        label = F.cross_entropy(said, batch.labels)
        kd = 9 * (p * (p.log() - (said / 3).log_softmax(1))).sum(1).mean()
        distance = (made_of - last).square().mean()
        terms |= {f"exit{number}.label": label, f"exit{number}.kd": kd}
        terms |= {f"exit{number}.features": distance} if features else {}
        total = total + 0.7 * label + 0.3 * kd + features * distance
    return total, terms


@pytest.mark.parametrize("features", [0.03, 2.0, 0.0])
def test_against_the_formula(features: float) -> None:
    """Total, each term, and the gradient of every parameter; the last exit is nobody's student."""
    method = made("byot", alpha=0.3, terms=TERMS, byot=Settings(features=features))
    twin = copy.deepcopy(method.state_dict())
    batch, now = batch_of(), at(1)
    outcome = method(batch, NO_TEACHER_OUTPUT, now)
    found = gradients(method, outcome, now)
    method.load_state_dict(twin)
    method.zero_grad()
    total, terms = by_formula(method, batch, features=features)
    torch.autograd.backward(total)
    torch.testing.assert_close(method.total(outcome, now), total)
    torch.testing.assert_close(dict(outcome.terms), terms)
    assert list(outcome.terms) == list(method.weights) == list(method.weights_at(now))
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)


def test_only_what_an_exit_stands_on_hears_it() -> None:
    """KD and features send nothing to the last stage and the last layer, by terms taken alone."""
    method = made("byot", alpha=0.3, terms=TERMS)
    outcome = method(batch_of(), NO_TEACHER_OUTPUT, at(0))
    named = dict(method.named_parameters())
    for name, term in outcome.terms.items():
        got = torch.autograd.grad(term, list(named.values()), retain_graph=True, allow_unused=True)
        moved = {n for n, g in zip(named, got, strict=True) if g is not None and g.any()}
        behind = {n for n in moved if ".layer3." in n or ".fc." in n}
        assert bool(behind) == (name == "label"), name
        assert any(".layer1." in n for n in moved)


def test_weights_and_schedules() -> None:
    """The whole network learns by the labels with weight 1; an exit's weights follow their schedules."""
    terms = LossConfig(
        label=LabelConfig(weight=0.6), kd=None, dist=DISTConfig(weight=2.0, warmup_epochs=2.0)
    )
    method = made("byot", terms=terms, byot=Settings(features=0.5))
    found = method.weights_at(at(1))
    one = {"label": 0.6, "dist": 1.0, "features": 0.5}
    expected = {"label": 1.0} | {f"exit{n}.{name}": w for n in (1, 2) for name, w in one.items()}
    assert found == pytest.approx(expected)
    outcome = method(batch_of(), NO_TEACHER_OUTPUT, at(1))
    assert outcome.terms.keys() == expected.keys()
    told = {facts["name"]: facts["weight"] for facts in describe_terms(method)}
    assert told == expected | {"exit1.dist": 2.0, "exit2.dist": 2.0}
    assert outcome.terms["exit1.dist"].item() > 0


def test_the_network_stays_plain() -> None:
    """The student's parameters are those of the network alone; exits are attachments of the method."""
    plain, student = network(), network()
    method = made("byot", student, alpha=0.3, terms=TERMS)
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in method.student.named_parameters()] == names
    own = {id(p) for p in method.parameters()} - {id(p) for p in student.parameters()}
    assert own == {id(p) for end in ends(method) for p in end.parameters()}
    assert list(method.attachments) == [end.bottleneck for end in ends(method)]


def test_exits_do_not_depend_on_what_came_before() -> None:
    """The same seed makes the same exits, another seed others, and no two are alike."""

    def heads(seed: int) -> list[Tensor]:
        torch.rand(seed + 1)
        return [end.head.weight for end in ends(made("byot", about=training_facts(seed=seed)))]

    first, again, other = heads(0), heads(0), heads(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ("name", "exits"), [("test_resnet", 3), ("test_vit", 3), ("test_mambaout", 3)]
)
def test_other_families(name: str, exits: int) -> None:
    """Maps, tokens and maps with channels last: every exit answers, and is as large as the last features."""
    size = 64
    torch.manual_seed(0)
    options = {"img_size": size} if "vit" in name else {}
    made_network = timm.create_model(name, num_classes=CLASSES, **options)
    student = Classifier(made_network, Preprocess(size=size, mean=(0.5,) * 3, std=(0.25,) * 3))
    method = made("byot", student, about=training_facts(size=size))
    batch = batch_of()
    batch = batch._replace(images=batch.images.repeat_interleave(2, 2).repeat_interleave(2, 3))
    outcome = method(batch, NO_TEACHER_OUTPUT, at(0))
    assert len(ends(method)) == exits
    assert all(torch.isfinite(term) and term > 0 for term in outcome.terms.values())
    found = gradients(method, outcome, at(0))
    assert found.keys() == {name for name, _ in method.named_parameters()}


def test_a_network_without_stages_is_refused() -> None:
    """By name, before anything is trained."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, CLASSES))
    student = Classifier(flat, Preprocess(size=SIZE, mean=(0.5,) * 3, std=(0.25,) * 3))
    with pytest.raises(UsageError, match="byot needs stages before the last"):
        made("byot", student)
