"""Small real networks, what they show of some images, and one term at a time between them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

import tutelage.models.cifar.names  # noqa: F401  so that timm knows them
from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.objective import LossConfig, ObjectiveConfig, settings_classes
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext, Term
from tutelage.models.cifar.resnet import ResNet
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

NAMES = tuple(name for name in settings_classes() if name != "label")
CLASSES, IMAGES = 10, 40
LATE = Progress(epoch=3, step=30, fraction=0.5)
"""Past the first stage of terms that have stages."""


class Couple(NamedTuple):
    """A student, its teacher, and what terms are told of them."""

    student: Classifier
    teacher: Classifier
    ground: BuildContext


class Word(NamedTuple):
    """What both networks say about a batch, at every point that any term asks for."""

    output: ModelOutput
    signal: TeacherOutput
    batch: Batch


def network(name: str, *, size: int, seed: int) -> Classifier:
    """A random network whose norms have seen something; "wide" has channels that no other has."""
    torch.manual_seed(seed)
    if name == "wide":
        made: nn.Module = ResNet(depth=8, widths=(8, 24, 40, 72), num_classes=CLASSES)
    else:
        options = {"img_size": size} if "vit" in name else {}
        made = timm.create_model(name, num_classes=CLASSES, **options)
    classifier = Classifier(made, Preprocess(size=size, mean=(0.5,) * 3, std=(0.25,) * 3))
    with torch.no_grad():
        classifier.train()(images(8, size=size, seed=9))
    return classifier


def images(count: int, *, size: int, seed: int = 0) -> Tensor:
    """uint8 [count, 3, size, size], of blocks rather than of noise, which looks all alike to a network."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return drawn.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)


def batch_of(count: int, *, size: int) -> Batch:
    """Labelled images, some of one class; their ids are not in order."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) * 3 % 4
    ids = torch.randperm(IMAGES, generator=generator)[:count]
    return Batch(images(count, size=size), labels, ids, 0)


def defaults(name: str) -> WeightedLossConfig:
    """The settings of a term when nothing is said of it."""
    return settings_classes()[name]()


def objective(names: Sequence[str]) -> ObjectiveConfig:
    """These terms alone, as they are when nothing is said of them."""
    tables: Mapping[str, Any] = {"label": None, "kd": None} | {n: defaults(n) for n in names}
    return ObjectiveConfig(losses=LossConfig(**tables))


def build(name: str, ground: BuildContext, *, seed: int = 0) -> Term:
    """One term in training."""
    return build_terms(objective([name]), ground, seed=seed)[name].train()


@cache
def couple(student: str, teacher: str, size: int = 32) -> Couple:
    """Two networks, studied."""
    mine = network(student, size=size, seed=1).train()
    theirs = network(teacher, size=size, seed=2).eval().requires_grad_(False)
    ground = BuildContext(
        inspect_network(mine, size), inspect_network(theirs, size), classes=CLASSES, images=IMAGES
    )
    return Couple(mine, theirs, ground)


def points(ground: BuildContext) -> tuple[list[str], list[str]]:
    """Every point of both networks that a term may ask for."""
    found = []
    for anatomy in (ground.student, ground.teacher):
        paths = [p.path for s in anatomy.stages for p in (s.entry, s.before, s.end)]
        found.append([*paths, *([anatomy.vector.path] if anatomy.vector else [])])
    return found[0], found[1]


def heard(both: Couple, batch: Batch) -> Word:
    """What both networks say; the student in training, with its graph."""
    mine, theirs = points(both.ground)
    output = FeatureExtractor(both.student, mine)(batch.images)
    with torch.no_grad():
        answer = FeatureExtractor(both.teacher, theirs)(batch.images)
    return Word(output, TeacherOutput(answer.logits, answer.features), batch)


@cache
def word(student: str, teacher: str, size: int = 32, count: int = 6) -> Word:
    """Detached, to be used many times over."""
    both = couple(student, teacher, size)
    said = heard(both, batch_of(count, size=size))
    return leaves(said, requires_grad=False)


def leaves(said: Word, *, requires_grad: bool = True) -> Word:
    """Copies of all tensors, which ask for a gradient, the teacher's as well."""

    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_(requires_grad)

    def copies(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {point: copy(tensor) for point, tensor in features.items()}

    assert said.signal.logits is not None
    output = ModelOutput(copy(said.output.logits), copies(said.output.features))
    signal = TeacherOutput(copy(said.signal.logits), copies(said.signal.features))
    return Word(output, signal, said.batch)
