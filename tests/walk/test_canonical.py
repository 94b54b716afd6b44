"""The published experiment: the recipe's settings, and two steps of it held to an independent oracle."""

import contextlib
import copy
import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.nn.functional import cross_entropy, log_softmax
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

import tutelage
from tutelage.config.loss_weights import loss_weights
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.zip import SAMPLE
from tutelage.distributed import ALONE
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train.context import FitArguments
from tutelage.engine.train.loop import fit
from tutelage.engine.train.state import TrainingState
from tutelage.evaluation.metrics import Metrics, scores_of
from tutelage.evaluation.predict import read_logits
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext
from tutelage.methods.offline import OfflineDistillation
from tutelage.models.build import build_model
from tutelage.models.preprocess import Classifier
from tutelage.teachers.cache.cached import CachedTeacher, CacheQuery, fill_cache
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.table import open_cache_table
from tutelage.teachers.cache.writer import create_cache
from tutelage.teachers.live import LiveTeacher
from tutelage.types import NO_NETWORK_INFO, Batch

TRAIN, VAL, TEST = 32, 20, 10


def test_recipe_is_the_published_table() -> None:
    """`resnet34-resnet18` is the published experiment, setting for setting."""
    job = tutelage.recipe("resnet34-resnet18")
    assert (job.teacher.model, job.teacher.weights) == ("resnet34.tv_in1k", None)
    assert (job.student.model, job.student.weights) == ("resnet18", "none")
    for trainee, epochs in ((job.teacher, 5), (job.student, 50)):
        assert trainee.epochs == epochs
        assert (trainee.optimizer, trainee.lr, trainee.batch_size) == ("adam", 1e-3, 32)
        assert (trainee.schedule, trainee.warmup_epochs, trainee.weight_decay) == ("constant", 0, 0)
        assert (trainee.label_smoothing, trainee.ema_decay, trainee.clip_grad) == (0, None, None)
        assert trainee.grad_accum_steps == 1
        assert trainee.fixed, "no augmentation"
        assert (trainee.normalization, trainee.zero_init_last) == ("train", False)
        assert trainee.stem == "standard"
        assert trainee.input_size is None
    assert loss_weights(job) == pytest.approx({"label": 0.3, "kd": 0.7}, abs=1e-15)
    assert job.losses.kd is not None
    assert job.losses.kd.temperature == 4
    data = job.data
    assert (data.image_size, data.splits, data.test_labels) == (224, "redraw", "hide")
    assert data.split == (7800, 2600, 2600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images of ten classes, enlarged to 300 x 500 and 500 x 300."""
    root = tmp_path_factory.mktemp("pictures")
    with zipfile.ZipFile(SAMPLE) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("train/"))
        classes = sorted({name.split("/")[1] for name in names})
        for label in classes:
            (root / label).mkdir()
            for number, name in enumerate([n for n in names if n.split("/")[1] == label][:10]):
                size = (300, 500) if number % 2 else (500, 300)
                image = Image.open(io.BytesIO(archive.read(name))).resize(size)
                tinted = Image.merge("RGB", (image, image.point(lambda v: v // 2), image))
                tinted.save(root / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def pack(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The pack of the recipe's data settings, with fewer images."""
    data = dataclasses.replace(tutelage.recipe("resnet34-resnet18").data, split=(TRAIN, VAL, TEST))
    return tutelage.pack(folder, data, out=tmp_path_factory.mktemp("out") / "pack", quiet=True)


def test_pixels_are_those_of_the_published_input(folder: Path, pack: Pack) -> None:
    """Shortest edge to 224, centre crop, [0, 1], standardised by the training split: as torchvision."""
    usual = Compose([Resize(224), CenterCrop(224), ToTensor()])
    files = pack.files()
    pixels = torch.stack([usual(Image.open(folder / name)) for name in files])
    train = pixels[torch.from_numpy(pack.rows("train"))].double()
    mean, std = train.mean(dim=(0, 2, 3)), train.std(dim=(0, 2, 3), correction=0)
    assert torch.allclose(torch.tensor(pack.mean).double(), mean, atol=1e-9)
    assert torch.allclose(torch.tensor(pack.std).double(), std, atol=1e-9)
    expected = (pixels - mean[:, None, None]) / std[:, None, None]
    settings = tutelage.recipe("resnet34-resnet18").student
    statistics = (pack.mean, pack.std)
    classifier = build_model(
        settings, classes=10, stored_size=224, train_statistics=statistics, seed=0
    ).classifier
    stored = torch.from_numpy(np.array(pack.images)).permute(0, 3, 1, 2)
    seen = classifier.preprocess(stored)
    assert seen.dtype == torch.float32
    assert torch.allclose(seen.double(), expected, atol=1e-5)
    assert (pack.labels[pack.rows("test")] == -1).all(), "the test part has no labels"
    assert [len(pack.rows(split)) for split in ("train", "val", "test")] == [TRAIN, VAL, TEST]


def test_two_steps_equal_plain_pytorch(folder: Path, pack: Pack, tmp_path: Path) -> None:
    """Loss and Adam's state after two steps equal torchvision's ResNets and the written-out formula."""
    job = tutelage.recipe("resnet34-resnet18")
    settings = dataclasses.replace(job.student, epochs=2)  # of one batch each
    runtime = resolve_runtime(dataclasses.replace(job, precision="fp32", device="cpu"))

    def network(trainee: tutelage.NetworkConfig, seed: int) -> Classifier:
        return build_model(
            dataclasses.replace(trainee, weights="none"),
            classes=10,
            stored_size=224,
            train_statistics=(pack.mean, pack.std),
            seed=seed,
        ).classifier

    teacher, student = network(job.teacher, seed=1), network(settings, seed=2)
    with torch.no_grad():  # a teacher of random weights, but with the statistics of real images
        teacher(torch.from_numpy(np.array(pack.images[:32])).permute(0, 3, 1, 2))
    twins = torchvision.models.resnet34(num_classes=10), torchvision.models.resnet18(num_classes=10)
    for twin, own in zip(twins, (teacher, student), strict=True):
        twin.load_state_dict(own.network.state_dict())
    assert all(
        (module.weight == 1).all()
        for module in student.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ), "no BatchNorm starts at zero"

    question = CacheQuery(pack, settings, 1, runtime.device)
    identity = CacheKey(
        "teacher",
        "resnet34",
        "",
        pack.classes,
        224,
        224,
        pack.mean,
        pack.std,
        "None",
        False,
        "cpu",
        {},
    )
    create_cache(tmp_path / "cache", identity, {"logits": (10,)})
    table = open_cache_table(tmp_path / "cache")
    fill_cache(
        table, LiveTeacher(teacher), question, world=ALONE, progress=lambda _done, _count: None
    )
    cached = CachedTeacher(open_cache_table(tmp_path / "cache"), question)
    loader = training_loader(pack, batch_size=32, views=settings, seed=0, device=runtime.device)
    method = OfflineDistillation(
        student,
        build_terms(job, BuildContext(NO_NETWORK_INFO, NO_NETWORK_INFO, classes=10, images=TRAIN)),
        loss_weights(job),
    )
    state = TrainingState(method, settings, runtime)

    seen: list[Moment] = []

    def validate(state: TrainingState) -> Metrics:
        seen.append(_moment(state, student.network))
        rows = pack.rows("val")
        logits = read_logits(state.measured, pack, rows, device=runtime.device)
        return scores_of(logits, pack.labels[rows], pack.classes)

    before = _moment(state, student.network)
    with contextlib.closing(EventLog(tmp_path / "journal.jsonl")) as journal:
        context = RunContext("student", tmp_path, tmp_path, Console(quiet=True), StopRequest())
        course = FitArguments(context, settings, loader, cached, validate, {}, {}, journal)
        fit(state, course)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    told = [event for event in map(json.loads, lines) if event["event"] == "epoch"]
    assert state.step == 2
    # Each step is held to the oracle from where the step before left off: Adam's first step moves a
    # weight by the whole rate whatever its gradient's size, so rounding noise alone would part the two.
    for epoch, (start, end) in enumerate(zip([before, *seen], seen, strict=False)):
        loss, expected = _plain_step(folder, pack, next(loader.epoch(epoch)), start, *twins)
        assert told[epoch]["train"]["loss"] == pytest.approx(loss, rel=1e-4)
        assert {int(values["step"]) for values in end.adam.values()} == {epoch + 1}
        for name, values in expected.items():
            for key in ("exp_avg", "exp_avg_sq"):
                off = (end.adam[name][key] - values[key]).norm() / values[key].norm()
                assert off < 0.03, (epoch, name, key)  # fp32 gradients differ by up to 0.7 % here


class Moment(NamedTuple):
    """A network and Adam's state between two steps, by parameter name."""

    weights: dict[str, torch.Tensor]
    adam: dict[str, dict[str, torch.Tensor]]


def _moment(state: TrainingState, network: torch.nn.Module) -> Moment:
    named = list(network.named_parameters())
    # The optimizer's groups: matrices and kernels first, then norms and biases.
    names = [n for n, p in named if p.ndim > 1] + [n for n, p in named if p.ndim <= 1]
    adam = copy.deepcopy(state.weights.optimizer.state_dict()["state"])
    return Moment(
        copy.deepcopy(network.state_dict()),
        {names[index]: values for index, values in adam.items()},
    )


def _plain_step(
    folder: Path,
    pack: Pack,
    batch: Batch,
    start: Moment,
    teacher: torch.nn.Module,
    student: torch.nn.Module,
) -> tuple[float, dict[str, dict[str, torch.Tensor]]]:
    """One step as one would write it in a page, the loss in float64: loss, and Adam's state after it."""
    usual = Compose([Resize(224), CenterCrop(224), ToTensor()])
    mean, std = (torch.tensor(s).float().view(3, 1, 1) for s in (pack.mean, pack.std))
    files = [pack.files()[int(row)] for row in batch.ids]
    pixels = torch.stack([(usual(Image.open(folder / name)) - mean) / std for name in files])
    labels = torch.tensor([pack.classes.index(name.split("/")[0]) for name in files])
    student.load_state_dict(start.weights)
    names = [name for name, _ in student.named_parameters()]
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    if start.adam:
        state = {index: start.adam[name] for index, name in enumerate(names)}
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": copy.deepcopy(state), "param_groups": groups})
    with torch.no_grad():
        word = log_softmax(teacher.eval()(pixels).double() / 4, dim=1)
    logits = student.train()(pixels).double()
    divergence = (word.exp() * (word - log_softmax(logits / 4, dim=1))).sum(dim=1).mean()
    loss = 0.7 * 4**2 * divergence + 0.3 * cross_entropy(logits, labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    after = optimizer.state_dict()["state"].values()
    return loss.item(), dict(zip(names, after, strict=True))
