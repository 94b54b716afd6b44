"""Recipes: they parse, they lie over each other, and each of them takes two steps."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tutelage.config import build, check
from tutelage.cookbook import objective_names, read_recipe, recipe, recipe_names
from tutelage.data.loader import training_loader
from tutelage.data.pack import Pack
from tutelage.engine.precision import resolve
from tutelage.engine.state import TrainingState
from tutelage.engine.step import learn, update
from tutelage.errors import UsageError
from tutelage.losses.settings import Objective, weights
from tutelage.methods.method import Method
from tutelage.methods.offline import supervised
from tutelage.methods.teaching import Lesson, taught
from tutelage.models.build import build as build_network
from tutelage.models.preprocess import Classifier
from tutelage.models.settings import Network
from tutelage.models.weights import fingerprint_of
from tutelage.nouns import NO_SIGNAL, Progress
from tutelage.settings import Job, Trainee
from tutelage.sweeping import objective_of
from tutelage.teachers.live import Live

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(trainee: Network, pack: Pack) -> Classifier:
    settings = dataclasses.replace(trainee, weights="none")
    statistics = (pack.mean, pack.std)
    return build_network(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=statistics,
        seed=0,
    ).classifier


def two_steps(method: Method, trainee: Trainee, pack: Pack, live: Live | None) -> list[float]:
    """The losses of two steps, with the recipe's optimiser and views."""
    small = dataclasses.replace(trainee, batch_size=8)
    state = TrainingState(method.train(), small, resolve(Job(device="cpu", precision="fp32")))
    loader = training_loader(pack, batch_size=8, views=small, seed=0, device=CPU)
    losses = []
    for number, batch in zip(range(2), loader.epoch(), strict=False):
        progress = Progress(epoch=number, step=number, fraction=number / 2)
        signal = live(batch) if live else NO_SIGNAL
        _, total = learn(state, batch, signal, progress)
        update(state, small.lr, clip=small.clip, progress=progress)
        losses.append(total.item())
    return losses


@pytest.mark.parametrize("name", recipe_names() + objective_names())
def test_recipe_holds(name: str) -> None:
    """A recipe is a valid job with a valid objective, and opens with one line of what it is."""
    found = read_recipe(name)
    job = build(Job, found.table, where=name)
    check(job)
    assert weights(job)
    assert 20 < len(found.comment.partition("\n")[0]) <= 110


@pytest.mark.parametrize("name", objective_names())
def test_objective_takes_two_steps(name: str, small_pack: Pack) -> None:
    """Under any published objective two steps give finite losses and change the student."""
    student = network(Network(model="cifar_resnet8"), small_pack)
    teacher = network(Network(model="cifar_resnet14"), small_pack)
    ids = torch.from_numpy(small_pack.rows("train"))
    lesson = Lesson(2, len(small_pack.classes), ids, small_pack.image_size)
    method = taught(student, teacher, objective_of(name), lesson)
    before = fingerprint_of(method.student)
    needs = method.needs
    live = Live(teacher, sorted({*needs.teacher_points, *needs.teacher_vectors}))
    losses = two_steps(method, Trainee(lr=1e-3), small_pack, live)
    assert len(losses) == 2
    assert all(abs(loss) < float("inf") for loss in losses)
    assert fingerprint_of(method.student) != before


@pytest.mark.parametrize("name", recipe_names())
def test_networks_of_a_job_take_two_steps(name: str, small_pack: Pack) -> None:
    """Teacher and student of a job train, each with its own optimiser, on pictures of 32 pixels."""
    job = recipe(name)
    for trainee in (job.teacher, job.student):
        method = supervised(network(trainee, small_pack), label_smoothing=trainee.label_smoothing)
        losses = two_steps(method, trainee, small_pack, None)
        assert all(abs(loss) < float("inf") for loss in losses)


def test_an_objective_replaces_the_one_below(tmp_path: Path) -> None:
    """Of several recipes each lies over those before it; a later objective stands alone."""
    job = build(Job, read_recipe("demo+crd").table, where="")
    assert weights(job) == {"label": 1.0, "crd": 0.8}
    assert job.teacher.epochs == recipe("demo").teacher.epochs
    longer = tmp_path / "longer.toml"
    longer.write_text("[student]\nepochs = 9\n")
    both = build(Job, read_recipe(f"demo+{longer}").table, where="")
    assert both.student == dataclasses.replace(recipe("demo").student, epochs=9)
    assert weights(both) == weights(recipe("demo"))


def test_unknown_parts_are_refused() -> None:
    """A recipe that is not there is named with the nearest that is; a job without terms is no objective."""
    with pytest.raises(UsageError, match="did you mean crd"):
        read_recipe("demo+crdd")
    with pytest.raises(UsageError, match="names no terms"):
        objective_of("terms-64")
    assert isinstance(objective_of("kd"), Objective)
