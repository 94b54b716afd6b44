"""How hard each term pulls: norms against gradients by hand, and training that does not notice."""

import dataclasses
import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tutelage.commands.sweep import method_of
from tutelage.config.job import TrainConfig
from tutelage.config.losses.feature import HintConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.objective import LossConfig, ObjectiveConfig
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.train.grad_norms import gradient_norms
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import backward
from tutelage.methods.factory import TrainingFacts, build_distillation
from tutelage.models.build import BuiltModel
from tutelage.teachers.live import LiveTeacher
from tutelage.types import Batch, LossOutput, Progress, TeacherOutput

CPU = torch.device("cpu")
MIDDLE = Progress(epoch=2, step=8, fraction=0.5)

Made = tuple[TrainingState, Batch, TeacherOutput]
Make = Callable[..., Made]


@pytest.fixture
def make(
    make_network: Callable[..., BuiltModel], small_pack: Pack, single: Callable[..., TrainConfig]
) -> Make:
    """A student in training, a batch and its teacher's word."""

    def state(objective: ObjectiveConfig, autocast: torch.dtype | None = None) -> Made:
        student, teacher = (make_network(f"cifar_resnet{n}", seed=n).classifier for n in (8, 14))
        rows = small_pack.rows("train")
        facts = TrainingFacts(
            4, len(small_pack.classes), torch.from_numpy(rows), small_pack.image_size
        )
        method = build_distillation(student, teacher, objective, facts).train()
        loader = reading_loader(small_pack, rows[::20], batch_size=10, device=CPU)
        batch = next(loader.epoch())
        points = [*method.needs.teacher_points, *method.needs.teacher_vectors]
        signal = LiveTeacher(teacher, points)(batch)
        settings = dataclasses.replace(single(), epochs=4)
        return TrainingState(method, settings, Runtime(CPU, autocast, False)), batch, signal

    return state


def by_hand(
    make: Make, objective: ObjectiveConfig, progress: Progress = MIDDLE
) -> dict[str, float]:
    """Each weighted term alone, backward through a method made for it; all squares added up in float64."""
    norms = {}
    for name, weight in make(objective)[0].method.weights_at(progress).items():
        state, batch, signal = make(objective)
        torch.autograd.backward(weight * state.method(batch, signal, progress).terms[name])
        gradients = [p.grad for p in state.method.student.parameters() if p.grad is not None]
        norms[name] = math.sqrt(sum(g.double().square().sum().item() for g in gradients))
    return norms


def watched(made: Made, progress: Progress = MIDDLE) -> dict[str, float]:
    """The norms as a step of training measures them."""
    found: list[dict[str, float]] = []

    def watch(outcome: LossOutput) -> None:
        found.append(gradient_norms(made[0], outcome, progress))

    backward(*made, progress, watch=watch)
    return found[0]


def learnt(made: Made) -> list[Tensor]:
    """What all parameters of a method, adapters too, would be moved by."""
    return [p.grad for p in made[0].method.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", ["hint-at-kd", "rkd", "simkd", "kd"])
def test_norms_equal_those_by_hand(make: Make, name: str) -> None:
    """The norm of each weighted term is that of its own backward pass by the student's weights."""
    objective = method_of(name)
    found = watched(make(objective))
    assert found == pytest.approx(by_hand(make, objective), rel=1e-4)
    assert min(found.values()) > 0


def test_adapters_do_not_count(make: Make) -> None:
    """The hint's adapter has a gradient as well, and the norm is without it."""
    made = make(method_of("hint"))
    norms = watched(made)
    every = {name: p for name, p in made[0].method.named_parameters() if p.grad is not None}
    assert any(name.startswith("terms.hint") for name in every)
    own = made[0].method.terms["hint"].parameters()
    squares = sum(p.grad.double().square().sum().item() for p in own if p.grad is not None)
    assert squares > 0
    assert norms["hint"] == pytest.approx(by_hand(make, method_of("hint"))["hint"], rel=1e-4)


def test_weights_of_the_moment(make: Make) -> None:
    """A term in its warm-up pulls with the weight it has now; one without a say, or not yet, with none."""
    objective = ObjectiveConfig(
        losses=LossConfig(
            label=LabelConfig(weight=1.0, from_epoch=3.0),
            kd=KDConfig(weight=2.0, warmup_epochs=4.0),
            hint=HintConfig(weight=8.0, until_epoch=2.0),
        )
    )
    found = watched(make(objective))
    assert (found["label"], found["hint"]) == (0.0, 0.0)
    whole = ObjectiveConfig(
        losses=LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=1.0))
    )
    assert found["kd"] == pytest.approx(by_hand(make, whole)["kd"], rel=1e-4)


def test_proportional_to_the_weight(make: Make) -> None:
    """Twice the weight is twice the norm."""
    one, two = (
        watched(
            make(
                ObjectiveConfig(
                    losses=LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=w))
                )
            )
        )
        for w in (1.0, 2.0)
    )
    assert two["kd"] == pytest.approx(2 * one["kd"], rel=1e-5)
    assert two["label"] == one["label"]


def test_training_does_not_notice(make: Make) -> None:
    """A step that is watched leaves the very gradients of one that is not."""
    watching, plain = (
        make(method_of("hint-at-kd")),
        make(method_of("hint-at-kd")),
    )
    watched(watching)
    backward(*plain, MIDDLE)
    ours, theirs = learnt(watching), learnt(plain)
    assert len(ours) == len(theirs) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_half_precision_is_scaled_back(make: Make) -> None:
    """Losses that are scaled up for fp16 do not make the norms larger."""
    half, plain = (watched(make(method_of("kd"), autocast)) for autocast in (torch.float16, None))
    made = make(method_of("kd"), torch.float16)
    assert made[0].scaler.get_scale() > 1000
    assert half == pytest.approx(plain, rel=0.1)


@pytest.mark.parametrize("weight", [1e38, 1e39])
def test_what_is_not_finite_is_left_out(make: Make, weight: float) -> None:
    """A gradient beyond all numbers is no norm; the other terms keep theirs."""
    objective = ObjectiveConfig(
        losses=LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=weight))
    )
    found = watched(make(objective))
    assert list(found) == ["label"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
