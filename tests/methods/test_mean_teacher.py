"""Mean teacher: the average by hand, at momentum 0 the student, and nothing else ever touches it."""

import copy

import pytest
import torch
from torch import Tensor

from support.methods.self_student import at, batch_of, gradients, made, network
from tutelage.config.losses.feature import ATConfig, HintConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.methods import MeanTeacherConfig as Settings
from tutelage.config.objective import LossConfig
from tutelage.config.training import OptimizationConfig
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import after_step, backward, optimizer_step
from tutelage.methods.self.mean_teacher import MeanTeacher
from tutelage.models.weights import fingerprint_of
from tutelage.types import NO_TEACHER_OUTPUT

RUNTIME = Runtime(torch.device("cpu"), None, channels_last=False)
INSIDE = LossConfig(
    label=LabelConfig(weight=1.0),
    kd=KDConfig(weight=1.0, temperature=1.0),
    hint=HintConfig(weight=10.0),
    at=ATConfig(weight=100.0),
)


def averaging(momentum: float, terms: LossConfig | None = None) -> MeanTeacher:
    """A student and its average, in training."""
    method = made("mean-teacher", terms=terms, mean_teacher=Settings(momentum=momentum))
    assert isinstance(method, MeanTeacher)
    return method


def moved(method: MeanTeacher, step: int) -> dict[str, Tensor]:
    """The student after its weights and norms were moved somewhere, and the average after that step."""
    generator = torch.Generator().manual_seed(step)
    for name, tensor in method.student.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) / 10
            tensor.copy_(drawn.abs() if name.endswith("running_var") else drawn)
    method.after_step(at(0, step=step), torch.tensor(1.0))
    return {name: t.clone() for name, t in method.student.state_dict().items()}


def test_the_average_by_hand() -> None:
    """At momentum 0.75 the plain mean of the first four steps, then 0.75 of it and 0.25 of the weights."""
    method = averaging(0.75)
    students = [moved(method, step) for step in range(4)]
    buffers = dict(method.student.named_buffers())
    for name, mean in method.average.named_parameters():
        expected = torch.stack([student[name] for student in students]).mean(0)
        torch.testing.assert_close(mean, expected)
    before = {name: mean.clone() for name, mean in method.average.named_parameters()}
    fifth = moved(method, 4)
    for name, mean in method.average.named_parameters():
        torch.testing.assert_close(mean, 0.75 * before[name] + 0.25 * fifth[name])
    for name, buffer in method.average.named_buffers():
        assert torch.equal(buffer, buffers[name])  # the running statistics are the student's own


def test_at_0_it_is_the_student() -> None:
    """After each step every byte of the average is the student's; there is nothing to learn from it."""
    method = averaging(0.0, INSIDE)
    for step in range(3):
        moved(method, step)
        assert fingerprint_of(method.average) == fingerprint_of(method.student)
    method.eval()
    outcome = method(batch_of(), NO_TEACHER_OUTPUT, at(0))
    for name in ("kd", "at"):
        assert outcome.terms[name].item() == pytest.approx(0.0, abs=1e-12)
    next(method.student.parameters()).data.add_(1.0)
    outcome = method(batch_of(), NO_TEACHER_OUTPUT, at(0))
    for name in ("kd", "at"):
        assert outcome.terms[name].item() > 1e-8


def test_it_never_trains() -> None:
    """In evaluation whatever is called; no gradient asked for; its norms do not see the images."""
    method = averaging(0.9).train()
    assert method.student.training
    assert not any(module.training for module in method.average.modules())
    assert not any(p.requires_grad for p in method.average.parameters())
    before = fingerprint_of(method.average)
    found = gradients(method, method(batch_of(), NO_TEACHER_OUTPUT, at(0)), at(0))
    assert fingerprint_of(method.average) == before
    assert found.keys() == {f"student.{n}" for n, _ in method.student.named_parameters()}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_no_optimizer_touches_it(optimizer: str) -> None:
    """An update with decay changes the student and its adapters alone; what follows it moves the average."""
    method = averaging(0.5, INSIDE)
    settings = OptimizationConfig(optimizer=optimizer, weight_decay=0.1, lr=0.01)  # type: ignore[arg-type]
    state = TrainingState(method, settings, RUNTIME)
    average, student = fingerprint_of(method.average), fingerprint_of(method.student)
    backward(state, batch_of(), NO_TEACHER_OUTPUT, at(0))
    optimizer_step(state, 0.01, clip=1.0)
    assert fingerprint_of(method.average) == average
    assert fingerprint_of(method.student) != student
    after_step(state, at(0, step=1))
    assert fingerprint_of(method.average) != average
    trained = {id(p) for p in state.weights.parameters}
    assert not trained & {id(p) for p in method.average.parameters()}
    assert trained >= {id(p) for p in method.terms.parameters()}


def test_features_of_both() -> None:
    """A term inside compares the student's features with the average's: its value by networks run apart."""
    method = averaging(0.9, LossConfig(label=LabelConfig(weight=1.0), kd=None, at=ATConfig()))
    moved(method, 0)
    mean, now = copy.deepcopy(method.average), copy.deepcopy(method.student)
    next(method.student.parameters()).data.mul_(1.5)
    next(now.parameters()).data.mul_(1.5)
    batch = batch_of()
    found = method(batch, NO_TEACHER_OUTPUT, at(0)).terms["at"]
    seen: list[list[Tensor]] = [[], []]
    for who, net in enumerate((now.train(), mean.eval())):
        for layer in ("layer1", "layer2", "layer3"):
            module = net.get_submodule(f"network.{layer}")
            module.register_forward_hook(lambda _m, _i, gave, who=who: seen[who].append(gave))
        net(batch.images)
    maps = [[f.square().mean(1).flatten(1) for f in features] for features in seen]
    rows = [[m / m.norm(dim=1, keepdim=True) for m in of] for of in maps]
    expected = sum((a - b).square().mean() for a, b in zip(*rows, strict=True))
    torch.testing.assert_close(found, expected)


def test_a_run_of_steps_by_hand() -> None:
    """Three steps of plain SGD under the average, against a loop that knows nothing of ours."""
    student = network().double()
    plain, mean = copy.deepcopy(student), copy.deepcopy(student).eval()
    method = made("mean-teacher", student, alpha=0.5, mean_teacher=Settings(momentum=0.6))
    mine, hand = (torch.optim.SGD(m.parameters(), lr=0.05) for m in (student, plain))
    for step, keep in enumerate((0.0, 0.5, 0.6)):
        batch, progress = batch_of(first=6 * step), at(0, step=step)
        mine.zero_grad()
        torch.autograd.backward(method.total(method(batch, NO_TEACHER_OUTPUT, progress), progress))
        mine.step()
        method.after_step(progress, torch.tensor(1.0))
        logits = plain(batch.images).logits
        with torch.no_grad():
            p = (mean(batch.images).logits / 4).softmax(1)
        kd = 16 * (p * (p.log() - (logits / 4).log_softmax(1))).sum(1).mean()
        loss = 0.5 * torch.nn.functional.cross_entropy(logits, batch.labels) + 0.5 * kd
        hand.zero_grad()
        torch.autograd.backward(loss)
        hand.step()
        with torch.no_grad():
            for old, new in zip(mean.parameters(), plain.parameters(), strict=True):
                old.copy_(keep * old + (1 - keep) * new)
            for old, new in zip(mean.buffers(), plain.buffers(), strict=True):
                old.copy_(new)
    for found, expected in zip(student.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
