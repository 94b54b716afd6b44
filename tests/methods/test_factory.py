"""From settings to a method: weights by schedule reach the total, and stages are steps of one run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.journal import read_events
from tutelage.methods.factory import TrainingFacts, build_distillation
from tutelage.methods.offline import OfflineDistillation
from tutelage.models.build import BuiltModel
from tutelage.teachers.live import LiveTeacher
from tutelage.types import START, Batch, Progress, TeacherOutput

EPOCHS = 4


class Class(NamedTuple):
    """A method, a batch, and what the teacher says about it."""

    method: OfflineDistillation
    batch: Batch
    signal: TeacherOutput

    def total(self, epoch: float) -> Tensor:
        """What is minimised after so many epochs."""
        progress = at(epoch)
        return self.method.total(self.method(self.batch, self.signal, progress), progress)

    def gradients(self, epoch: float) -> dict[str, float]:
        """The size of each parameter's gradient; 0 where there is none."""
        self.method.zero_grad()
        torch.autograd.backward(self.total(epoch))
        return {
            name: 0.0 if p.grad is None else p.grad.abs().sum().item()
            for name, p in self.method.named_parameters()
        }


def at(epoch: float) -> Progress:
    """Where training stands after so many of the epochs."""
    return Progress(epoch=int(epoch), step=round(10 * epoch), fraction=epoch / EPOCHS)


@pytest.fixture(scope="module")
def built(
    make_network: Callable[..., BuiltModel], small_pack: Pack
) -> Callable[[ObjectiveConfig], Class]:
    """A small ResNet taught by another for four epochs; what comes before fixes all random numbers."""

    def make(objective: ObjectiveConfig) -> Class:
        student, teacher = (make_network(f"cifar_resnet{n}", seed=n).classifier for n in (8, 14))
        rows = small_pack.rows("train")
        about = TrainingFacts(
            EPOCHS, len(small_pack.classes), torch.from_numpy(rows), small_pack.image_size
        )
        method = build_distillation(
            student, teacher, objective, about
        ).eval()  # its norms then keep still
        loader = reading_loader(small_pack, rows[::25], batch_size=8, device=torch.device("cpu"))
        batch = next(loader.epoch())
        return Class(method, batch, LiveTeacher(teacher, list(method.needs.teacher_points))(batch))

    return make


def scheduled() -> ObjectiveConfig:
    """KD that warms up for two epochs, a hint that fades until the third, a label from the first on."""
    return ObjectiveConfig(
        losses=LossConfig(
            label=LabelConfig(weight=0.5, from_epoch=1.0),
            kd=KDConfig(weight=2.0, warmup_epochs=2.0),
            hint=HintConfig(weight=8.0, until_epoch=3.0, fade=True),
        )
    )


@pytest.mark.parametrize(
    ("epoch", "label", "kd", "hint"),
    [
        (0.0, 0.0, 0.0, 8.0),
        (0.5, 0.0, 0.5, 8.0 * 2.5 / 3),
        (1.0, 0.5, 1.0, 8.0 * 2 / 3),
        (1.5, 0.5, 1.5, 4.0),
        (2.5, 0.5, 2.0, 8.0 * 0.5 / 3),
        (3.0, 0.5, 2.0, 0.0),
        (4.0, 0.5, 2.0, 0.0),
    ],
)
def test_schedules_reach_the_total(
    built: Callable[[ObjectiveConfig], Class], epoch: float, label: float, kd: float, hint: float
) -> None:
    """The total is the sum of the raw terms by the weights of this moment, worked out by hand."""
    found = built(scheduled())
    outcome = found.method(found.batch, found.signal, at(epoch))
    raw = {name: value.item() for name, value in outcome.terms.items()}
    assert list(raw) == ["label", "kd", "hint"]
    assert all(value > 0 for value in raw.values())
    expected = label * raw["label"] + kd * raw["kd"] + hint * raw["hint"]
    assert found.total(epoch).item() == pytest.approx(expected, rel=1e-6)


def test_raw_terms_do_not_follow_the_schedule(built: Callable[[ObjectiveConfig], Class]) -> None:
    """What is reported of a term is its value, whatever it counts at the moment."""
    found = built(scheduled())
    early, late = (found.method(found.batch, found.signal, at(epoch)).terms for epoch in (0, 4))
    for name in early:
        torch.testing.assert_close(early[name], late[name], rtol=0, atol=0)


def test_the_gradient_follows_the_schedule(built: Callable[[ObjectiveConfig], Class]) -> None:
    """A warm-up half way is half the weight in the gradient, too."""
    half = built(
        ObjectiveConfig(
            losses=LossConfig(
                label=LabelConfig(weight=0.0), kd=KDConfig(weight=2.0, warmup_epochs=2.0)
            )
        )
    )
    plain = built(
        ObjectiveConfig(losses=LossConfig(label=LabelConfig(weight=0.0), kd=KDConfig(weight=1.0)))
    )
    assert half.gradients(1.0) == pytest.approx(plain.gradients(1.0), rel=1e-6)
    assert not any(half.gradients(0.0).values())


def test_a_constant_objective(built: Callable[[ObjectiveConfig], Class]) -> None:
    """Without a schedule the weights are the objective's at every moment."""
    method = built(method_of("hint-at-kd")).method
    for epoch in (0, 1.7, 4):
        assert method.weights_at(at(epoch)) == {
            "label": 1.0, "kd": 1.0, "hint": 100.0, "at": 1000.0,
        }  # fmt: skip


def test_stages_of_fitnets(built: Callable[[ObjectiveConfig], Class]) -> None:
    """First the hint moves its adapter and the layers up to the middle, then label and KD all layers."""
    found = built(method_of("fitnets"))
    first, second = found.gradients(1.99), found.gradients(2.0)
    adapter = {name for name in first if name.startswith("terms.hint.")}
    behind = {name for name in first if ".layer3." in name or ".fc." in name}
    assert adapter
    assert behind
    for name in first:
        assert (first[name] > 0) == (name not in behind), name
        assert (second[name] > 0) == (name not in adapter), name


def test_stages_are_steps_of_one_run(
    small_pack: Pack,
    teacher_folder: Path,
    place: Callable[..., RunContext],
    single: Callable[..., TrainConfig],
) -> None:
    """One run of fitnets: two epochs of hint alone, then two of label and KD alone, told by its journal."""
    objective = method_of("fitnets")
    settings = dataclasses.replace(
        single(),
        epochs=EPOCHS,
        role="student",
        teacher=(str(teacher_folder),),
        losses=objective.losses,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        folder = train_one(settings, small_pack, place())
    events = read_events(folder / "journal.jsonl")
    epochs = [event["train"] for event in events if event["event"] == "epoch"]
    norms = [event["norms"] for event in events if event["event"] == "gradients"]
    assert len(epochs) == EPOCHS
    for train in epochs[:2]:
        assert train["shares"] == pytest.approx({"label": 0.0, "kd": 0.0, "hint": 1.0})
        assert train["loss"] == pytest.approx(100 * train["terms"]["hint"], rel=1e-5)
    for train in epochs[2:]:
        assert train["shares"]["hint"] == 0.0
        expected = 0.3 * train["terms"]["label"] + 0.7 * train["terms"]["kd"]
        assert train["loss"] == pytest.approx(expected, rel=1e-5)
    first, last = norms
    assert (first["label"], first["kd"]) == (0.0, 0.0)
    assert first["hint"] > 0
    assert last["hint"] == 0.0
    assert min(last["label"], last["kd"]) > 0
    assert epochs[1]["terms"]["hint"] < epochs[0]["terms"]["hint"]


def test_the_first_step_is_the_start(built: Callable[[ObjectiveConfig], Class]) -> None:
    """Where nothing is said of progress, the weights are those before the first step."""
    found = built(scheduled())
    outcome = found.method(found.batch, found.signal, START)
    assert found.method.total(outcome).item() == found.total(0.0).item()
