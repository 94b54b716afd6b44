"""Teacher and student together: the teacher learns as if it were alone, the student from what it says."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from support.methods.online import (
    SGD,
    assert_near,
    batches,
    network,
    optimiser,
    progress_at,
    reached,
    same,
    teaching,
    train,
    training_facts,
    waits,
)
from tutelage.config.losses.feature import ATConfig, HintConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.objective import LossConfig
from tutelage.config.training import OptimizationConfig
from tutelage.methods.factory import build_method
from tutelage.methods.offline import supervised_training
from tutelage.methods.online.joint import JointTraining
from tutelage.methods.registry import incompatibility
from tutelage.types import NO_TEACHER_OUTPUT

FEATURES = LossConfig(
    label=LabelConfig(weight=0.5),
    kd=KDConfig(weight=2.0),
    hint=HintConfig(weight=3.0),
    at=ATConfig(),
)


def joint(
    terms: LossConfig | None = None, *, double: bool = False, smoothing: float = 0.0
) -> JointTraining:
    student, teacher = network(1), network(2, "cifar_resnet14")
    if double:
        student, teacher = student.double(), teacher.double()
    about = training_facts(label_smoothing=smoothing)
    method = build_method(teaching("joint", terms), student, [teacher], about)
    assert isinstance(method, JointTraining)
    return method


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(
    "training", [SGD, OptimizationConfig(optimizer="adamw", lr=0.01)], ids=["sgd", "adamw"]
)
def test_the_teacher_learns_as_if_alone(training: OptimizationConfig, clip: float | None) -> None:
    """After three steps beside a student with four terms: the bytes it has without a student."""
    training = dataclasses.replace(training, clip_grad=clip)
    method = joint(FEATURES, smoothing=0.1)
    alone = supervised_training(network(2, "cifar_resnet14"), label_smoothing=0.1)
    found = train(method, training)
    expected = train(alone, training)
    assert [step["teacher.label"] for step in found] == [step["label"] for step in expected]
    assert same(method.peers[0], alone.student)
    assert not same(method.student, network(1))


def test_the_student_by_hand() -> None:
    """Its label and what the teacher says at that moment, with an optimizer of its own."""
    method = joint(double=True)
    student, teacher = network(1).double(), network(2, "cifar_resnet14").double()
    train(method)
    optimizers = [optimiser(student), optimiser(teacher)]
    for batch in batches():
        mine, theirs = student(batch.images).logits, teacher(batch.images).logits
        of, log_of = theirs.detach().softmax(1), theirs.detach().log_softmax(1)
        divergence = (of * (log_of - mine.log_softmax(1))).sum(1).mean()
        losses = [
            F.cross_entropy(mine, batch.labels, ignore_index=-1) + divergence,
            F.cross_entropy(theirs, batch.labels, ignore_index=-1),
        ]
        for one, value in zip(optimizers, losses, strict=True):
            one.zero_grad()
            torch.autograd.backward(value)
            one.step()
    assert_near(method.student, student)
    assert_near(method.peers[0], teacher)


def test_the_student_never_moves_the_teacher() -> None:
    """Each term of the student, on logits or features, moves the student alone; the teacher's its own."""
    method = joint(FEATURES)
    outcome = method(batches(1)[0], NO_TEACHER_OUTPUT, progress_at(0))
    assert list(outcome.terms) == ["label", "kd", "hint", "at", "teacher.label"]
    for name, value in outcome.terms.items():
        teachers = name == "teacher.label"
        assert reached(value, [method.student, method.peers[0]]) == [not teachers, teachers], name
    weights = {"label": 0.5, "kd": 2.0, "hint": 3.0, "at": 1000.0, "teacher.label": 1.0}
    assert method.weights == method.weights_at(progress_at(1)) == weights
    assert list(method.companions) == [method.peers[0]]


def test_features_alone_leave_parameters_alone() -> None:
    """A student under a hint alone has no gradient behind it, which several processes are told of."""
    hint = LossConfig(label=None, kd=None, hint=HintConfig())
    assert joint(hint).partial
    assert not joint(FEATURES).partial


def test_copies_of_weights_are_refused() -> None:
    """A margin from BatchNorm before training is nobody's; under a finished teacher it is the teacher's."""
    assert incompatibility("offline", "ofd", looks_inside=True) is None
    reason = incompatibility("joint", "ofd", looks_inside=True)
    assert reason == "it takes the BatchNorm of its teacher, which here is still learning"


def test_nothing_waits() -> None:
    """No step asks the device for a number."""
    assert waits(joint(FEATURES)) == []
