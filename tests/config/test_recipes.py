"""Recipes: they parse, they lie over each other, and each of them takes two steps."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tutelage.cli import call
from tutelage.commands.sweep import method_of
from tutelage.config.job import DistillConfig, NetworkConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.model import ModelConfig
from tutelage.config.objective import ObjectiveConfig
from tutelage.config.recipes import method_names, objective_names, read_recipe, recipe, recipe_names
from tutelage.config.schema import build, validate
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.train.schedules import learning_rate
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.errors import UsageError
from tutelage.methods.factory import TrainingFacts, build_distillation
from tutelage.methods.method import Method
from tutelage.methods.offline import OfflineDistillation, supervised_training
from tutelage.models.build import build_model as build_network
from tutelage.models.preprocess import Classifier
from tutelage.teachers.live import LiveTeacher
from tutelage.types import NO_TEACHER_OUTPUT, Progress

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(trainee: ModelConfig, pack: Pack) -> Classifier:
    settings = dataclasses.replace(trainee, weights="none")
    statistics = (pack.mean, pack.std)
    return build_network(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=statistics,
        seed=0,
    ).classifier


def make_method(
    student: Classifier, teacher: Classifier, objective: ObjectiveConfig, pack: Pack
) -> OfflineDistillation:
    """A student under a teacher for 240 epochs, made as a run makes it."""
    ids = torch.from_numpy(pack.rows("train"))
    about = TrainingFacts(240, len(pack.classes), ids, pack.image_size)
    return build_distillation(student, teacher, objective, about)


def two_steps(
    method: OfflineDistillation,
    trainee: NetworkConfig,
    pack: Pack,
    *,
    batch: int,
    teacher: Classifier | None = None,
) -> None:
    """The first step and one half way, with the recipe's optimizer and views: each moves the student.

    Between them every term counts once: those of a first stage, and those that wait or warm up.
    """
    small = dataclasses.replace(trainee, batch_size=batch)
    state = TrainingState(
        method.train(), small, resolve_runtime(DistillConfig(device="cpu", precision="fp32"))
    )
    loader = training_loader(pack, batch_size=batch, views=small, seed=0, device=CPU)
    points = sorted({*method.needs.teacher_points, *method.needs.teacher_vectors})
    live = LiveTeacher(teacher, points) if teacher else None
    counted: set[str] = set()
    for number, images in zip(range(2), loader.epoch(), strict=False):
        progress = Progress(epoch=120 * number, step=number, fraction=number / 2)
        before = learnt(method)
        signal = live(images) if live else NO_TEACHER_OUTPUT
        outcome, total = train_step(
            state, images, signal, progress, rate=small.lr, clip=small.clip_grad
        )
        assert math.isfinite(total.item())
        assert all(math.isfinite(term.item()) for term in outcome.terms.values())
        assert not torch.equal(learnt(method), before)
        assert learnt(method).isfinite().all()
        counted |= {name for name, weight in method.weights_at(progress).items() if weight}
    assert state.step == 2
    assert counted == set(method.weights)


def learnt(method: Method) -> torch.Tensor:
    """What the student learns, its norms' averages left out."""
    return torch.cat([p.detach().flatten().clone() for p in method.student.parameters()])


@pytest.mark.parametrize("name", recipe_names() + objective_names() + method_names())
def test_recipe_holds(name: str) -> None:
    """A recipe is a valid job with a valid objective, and opens with one line of what it is."""
    found = read_recipe(name)
    job = build(DistillConfig, found.table, where=name)
    validate(job)
    assert loss_weights(job)
    assert 20 < len(found.comment.partition("\n")[0]) <= 110


@pytest.mark.parametrize("name", objective_names())
def test_objective_takes_two_steps(name: str, small_pack: Pack) -> None:
    """Under any published objective two steps give finite losses and change the student."""
    student = network(ModelConfig(model="cifar_resnet8"), small_pack)
    teacher = network(ModelConfig(model="cifar_resnet14"), small_pack)
    method = make_method(student, teacher, method_of(name), small_pack)
    two_steps(method, NetworkConfig(lr=1e-3), small_pack, batch=8, teacher=teacher)


@pytest.mark.parametrize("name", recipe_names())
def test_networks_of_a_job_take_two_steps(name: str, small_pack: Pack) -> None:
    """A job's teacher learns, and its student from it, each with its own optimizer and views."""
    job = recipe(name)
    side = 64 if job.data.image_size == 224 else 32
    own = [dataclasses.replace(each, input_size=side) for each in (job.teacher, job.student)]
    teacher, student = (network(each, small_pack) for each in own)
    alone = supervised_training(teacher, label_smoothing=job.teacher.label_smoothing)
    two_steps(alone, own[0], small_pack, batch=4)
    method = make_method(student, teacher, job, small_pack)
    two_steps(method, own[1], small_pack, batch=4, teacher=teacher)


@pytest.mark.parametrize("name", [n for n in recipe_names() if n.startswith("cifar100")])
def test_settings_of_the_cifar_tables(name: str) -> None:
    """What arXiv:1910.10699 trains with: a tenth of the rate at 150, 180 and 210 of 240 epochs."""
    job = recipe(name)
    slow = any(kind in job.student.model for kind in ("mobilenet", "shufflenet"))
    for trainee, rate in ((job.teacher, 0.05), (job.student, 0.01 if slow else 0.05)):
        assert (trainee.epochs, trainee.batch_size, trainee.weights) == (240, 64, "none")
        assert (trainee.optimizer, trainee.momentum, trainee.weight_decay) == ("sgd", 0.9, 5e-4)
        assert (trainee.flip, trainee.translate, trainee.crop_scale) == (True, 4, None)
        assert rates(trainee, (0, 149, 150, 179, 180, 209, 210, 239)) == pytest.approx(
            [rate, rate, rate / 10, rate / 10, rate / 100, rate / 100, rate / 1000, rate / 1000]
        )
    assert (job.data.image_size, job.seeds) == (32, 3)
    assert loss_weights(job) == pytest.approx({"label": 0.1, "kd": 0.9})
    assert job.losses.kd is not None
    assert job.losses.kd.temperature == 4


def test_settings_of_imagenet() -> None:
    """The usual 100 epochs, under torchvision's own teacher, who sees images as it was trained on them."""
    job = recipe("imagenet-resnet34-resnet18")
    assert (job.teacher.model, job.teacher.epochs) == ("resnet34.tv_in1k", 0)
    assert (job.teacher.weights, job.teacher.normalization) == (None, "weights")
    student = job.student
    assert (student.model, student.weights, student.normalization) == (
        "resnet18",
        "none",
        "weights",
    )
    assert (student.epochs, student.batch_size, student.weight_decay) == (100, 256, 1e-4)
    assert (student.optimizer, student.momentum, student.flip) == ("sgd", 0.9, True)
    assert rates(student, (0, 29, 30, 59, 60, 89, 90, 99)) == pytest.approx(
        [0.1, 0.1, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4]
    )
    assert (job.data.image_size, student.crop_scale) == (224, 0.08)


def rates(trainee: NetworkConfig, epochs: tuple[int, ...]) -> list[float]:
    """The learning rate at the first step of some epochs (from 0)."""
    return [learning_rate(trainee, at=epoch * 704, steps_per_epoch=704) for epoch in epochs]


def test_an_objective_replaces_the_one_below(tmp_path: Path) -> None:
    """Of several recipes each lies over those before it; a later objective stands alone."""
    job = build(DistillConfig, read_recipe("demo+crd").table, where="")
    assert loss_weights(job) == {"label": 1.0, "crd": 0.8}
    assert job.teacher.epochs == recipe("demo").teacher.epochs
    longer = tmp_path / "longer.toml"
    longer.write_text("[student]\nepochs = 9\n")
    both = build(DistillConfig, read_recipe(f"demo+{longer}").table, where="")
    assert both.student == dataclasses.replace(recipe("demo").student, epochs=9)
    assert loss_weights(both) == loss_weights(recipe("demo"))


def test_unknown_parts_are_refused() -> None:
    """A recipe that is not there is named with the nearest that is; a job without terms is no objective."""
    with pytest.raises(UsageError, match="did you mean crd"):
        read_recipe("demo+crdd")
    with pytest.raises(UsageError, match="names no terms"):
        method_of("terms-64")
    assert isinstance(method_of("kd"), ObjectiveConfig)


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`tutelage recipes` names every job and, under a heading, every objective, each with its first line."""
    call(["recipes"])
    jobs, objectives, methods = capsys.readouterr().out.split("\n\n")
    assert objectives.splitlines()[0].endswith("(--recipe demo+crd):")
    assert methods.splitlines()[0].endswith("(--recipe demo+dml):")
    parts = ((jobs, recipe_names()), (objectives, objective_names()), (methods, method_names()))
    for text, names in parts:
        lines = text.splitlines()[1:]
        assert [line.split()[0] for line in lines] == names
        for name, line in zip(names, lines, strict=True):
            assert line.removeprefix(name).strip() == read_recipe(name).comment.splitlines()[0]
