"""A batch that is not finite leaves no trace in what a method, a term or a norm remembers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from support.methods.online import (
    CPU,
    IMAGES,
    batches,
    network,
    published,
    teaching,
    training_facts,
)
from tutelage.config.losses.feature import CRDConfig, HintConfig, KDPPConfig, VIDConfig
from tutelage.config.losses.relation import SPConfig
from tutelage.config.methods import (
    DMLConfig,
    MethodConfig,
    MethodOptions,
    MultiTeacherConfig,
    OnlineEnsembleConfig,
)
from tutelage.config.training import OptimizationConfig
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.losses.feature.memory_bank import MemoryBank
from tutelage.methods.factory import build_method
from tutelage.methods.method import Method
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.preprocess import Classifier
from tutelage.types import NO_TEACHER_OUTPUT, Batch, Progress, TeacherOutput

EPOCHS, BAD = 2, (1, 3)
"""Five steps: the bad ones are the second and the fourth; a new epoch begins with the third."""

INSIDE = dataclasses.replace(published(), hint=HintConfig(), vid=VIDConfig())
DRAWING = dataclasses.replace(published(), crd=CRDConfig(width=8, negatives=10), kdpp=KDPPConfig())
REMEMBERING = {
    "drawing": DRAWING,
    "crd of all": dataclasses.replace(published(), crd=CRDConfig(width=8)),
    "adapters": INSIDE,
    "relation": dataclasses.replace(published(), sp=SPConfig(weight=1.0)),
}


def taught() -> dict[str, MethodConfig]:
    """By finished teachers: each term that remembers or learns, under one teacher or two."""
    apart = MethodOptions(multi_teacher=MultiTeacherConfig(combine="divergences"))
    two = teaching("multi-teacher", INSIDE, methods=apart)
    return {name: teaching("offline", terms) for name, terms in REMEMBERING.items()} | {"two": two}


def beside() -> dict[str, MethodConfig]:
    """Without a finished teacher: networks side by side, and those that teach themselves."""
    turns = MethodOptions(dml=DMLConfig(alternate=True))
    least = MethodOptions(one=OnlineEnsembleConfig(combine="least-loss"))
    return {
        "dml": teaching("dml", DRAWING),
        "turns": teaching("dml", INSIDE, methods=turns),
        "gate": teaching("one"),
        "least-loss": teaching("one", methods=least),
        "joint": teaching("joint", DRAWING),
        **{name: teaching(name) for name in ("ps-kd", "cs-kd", "tf-kd", "byot")},
        "mean-teacher": teaching("mean-teacher", INSIDE),
    }


def shown() -> list[Batch]:
    """Batches with partners; those of bad steps have an image without numbers."""
    made = []
    for step, batch in enumerate(batches(5)):
        images = batch.images.float()
        if step in BAD:
            images[2, :, 1, 1] = torch.nan
        made.append(batch._replace(images=images, partners=images.flip(0)))
    return made


def trained(
    settings: MethodConfig,
    make: Callable[..., Method],
    training: OptimizationConfig,
    *,
    left_out: bool,
) -> dict[str, Tensor]:
    """All that is kept after five steps, of which the bad ones are taken or left out."""
    others = [network(seed) for seed in (1, 2)][: 1 if settings.method == "offline" else 2]
    method = make(settings, network(0), others).train()
    points = [*method.needs.teacher_points, *method.needs.teacher_vectors]
    masters = [
        FeatureExtractor(other.eval(), points) if points else other.eval() for other in others
    ]
    if settings.method not in ("offline", "multi-teacher"):
        masters = []
        method.train()
    state = TrainingState(method, training, Runtime(CPU, None, channels_last=False))
    for step, batch in enumerate(shown()):
        if left_out and step in BAD:
            state.step += 1
            continue
        progress = Progress(int(step > 1), step, step / 5)
        train_step(
            state, batch, _words(masters, batch), progress, rate=0.01, clip=training.clip_grad
        )
    kept = {f"method/{name}": tensor for name, tensor in method.state_dict().items()}
    for number, values in state.weights.optimizer.state_dict()["state"].items():
        kept |= {f"optimizer/{number}/{name}": value for name, value in values.items()}
    assert state.average is not None
    return kept | {f"average/{name}": value for name, value in state.average.state_dict().items()}


@torch.no_grad()
def _words(masters: list[Any], batch: Batch) -> TeacherOutput:
    if not masters:
        return NO_TEACHER_OUTPUT
    first, *others = [TeacherOutput(*master(batch.images)) for master in masters]
    return first._replace(others=tuple(others))


def _make(settings: MethodConfig, student: Classifier, others: list[Classifier]) -> Method:
    shares = (0.5, 0.5) if settings.method == "multi-teacher" else ()
    about = training_facts(epochs=EPOCHS, shares=shares)
    needs_others = settings.method in ("offline", "multi-teacher", "dml", "one", "joint")
    torch.manual_seed(1)
    few = others[:1] if settings.method == "joint" else others
    return build_method(settings, student, few if needs_others else [], about)


@pytest.mark.parametrize("name", [*taught(), *beside()])
def test_no_trace(name: str) -> None:
    """Weights, moments, averages, norms and memories are those of a run without the bad steps."""
    settings = {**taught(), **beside()}[name]
    sgd = OptimizationConfig(
        optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=0.01, ema_decay=0.8
    )
    adam = OptimizationConfig(
        optimizer="adam", lr=0.01, weight_decay=0.01, ema_decay=0.8, clip_grad=1.0
    )
    for training in (sgd, adam):
        masked = trained(settings, _make, training, left_out=False)
        without = trained(settings, _make, training, left_out=True)
        assert masked.keys() == without.keys()
        assert [key for key in masked if not torch.equal(masked[key], without[key])] == []
        assert all(tensor.isfinite().all() for tensor in masked.values())


@pytest.mark.parametrize("name", ["drawing", "dml", "ps-kd", "mean-teacher"])
def test_something_was_remembered(name: str) -> None:
    """What is compared above does change in a step that is finite."""
    settings = {**taught(), **beside()}[name]
    method = trained(settings, _make, OptimizationConfig(ema_decay=0.5), left_out=False)
    torch.manual_seed(1)
    began = _make(settings, network(0), [network(1), network(2)][: 1 if name in REMEMBERING else 2])
    words = ("memories", "means", "said", "average", "running_mean")
    for key, value in began.state_dict().items():
        if any(word in key for word in words) and value.is_floating_point():
            assert not torch.equal(method[f"method/{key}"], value), key


def test_rows_come_back_in_order() -> None:
    """An image that was overwritten twice since the last step has again what it had before both."""
    memory = MemoryBank(IMAGES, 4, momentum=0.5)
    before = memory.student.clone()
    memory.begin_step()
    ids = torch.tensor([3, 5])
    for _ in range(2):
        memory.remember(ids, torch.randn(2, 4), torch.randn(2, 4))
    after = memory.student.clone()
    memory.end_step(torch.tensor(False))
    assert torch.equal(memory.student, after)
    memory.begin_step()
    memory.remember(ids, torch.full((2, 4), torch.nan), torch.randn(2, 4))
    memory.remember(ids, torch.randn(2, 4), torch.randn(2, 4))
    memory.end_step(torch.tensor(True))
    assert torch.equal(memory.student, after)
    assert not torch.equal(before, after)
