"""Small real networks, their features of some images, and one term at a time between them."""

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


class NetworkPair(NamedTuple):
    """A student, its teacher, and what terms are built from."""

    student: Classifier
    teacher: Classifier
    context: BuildContext


class TermInputs(NamedTuple):
    """What both networks return for a batch, at every point that any term reads."""

    output: ModelOutput
    teacher: TeacherOutput
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
    """The settings of a term when nothing is inputs of it."""
    return settings_classes()[name]()


def objective(names: Sequence[str]) -> ObjectiveConfig:
    """These terms alone, as they are when nothing is inputs of them."""
    tables: Mapping[str, Any] = {"label": None, "kd": None} | {n: defaults(n) for n in names}
    return ObjectiveConfig(losses=LossConfig(**tables))


def build(name: str, context: BuildContext, *, seed: int = 0) -> Term:
    """One term in training."""
    return build_terms(objective([name]), context, seed=seed)[name].train()


@cache
def network_pair(student: str, teacher: str, size: int = 32) -> NetworkPair:
    """Two networks, studied."""
    mine = network(student, size=size, seed=1).train()
    theirs = network(teacher, size=size, seed=2).eval().requires_grad_(False)
    context = BuildContext(
        inspect_network(mine, size), inspect_network(theirs, size), classes=CLASSES, images=IMAGES
    )
    return NetworkPair(mine, theirs, context)


def points(context: BuildContext) -> tuple[list[str], list[str]]:
    """Every point of both networks that a term may ask for."""
    found = []
    for anatomy in (context.student, context.teacher):
        paths = [p.path for s in anatomy.stages for p in (s.entry, s.before, s.end)]
        found.append([*paths, *([anatomy.vector.path] if anatomy.vector else [])])
    return found[0], found[1]


def run_both(both: NetworkPair, batch: Batch) -> TermInputs:
    """Return what both networks return; the student in training, with its graph."""
    mine, theirs = points(both.context)
    output = FeatureExtractor(both.student, mine)(batch.images)
    with torch.no_grad():
        answer = FeatureExtractor(both.teacher, theirs)(batch.images)
    return TermInputs(output, TeacherOutput(answer.logits, answer.features), batch)


@cache
def term_inputs(student: str, teacher: str, size: int = 32, count: int = 6) -> TermInputs:
    """Detached, to be used many times over."""
    both = network_pair(student, teacher, size)
    inputs = run_both(both, batch_of(count, size=size))
    return leaves(inputs, requires_grad=False)


def leaves(inputs: TermInputs, *, requires_grad: bool = True) -> TermInputs:
    """Copies of all tensors, which ask for a gradient, the teacher's as well."""

    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_(requires_grad)

    def copies(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {point: copy(tensor) for point, tensor in features.items()}

    assert inputs.teacher.logits is not None
    output = ModelOutput(copy(inputs.output.logits), copies(inputs.output.features))
    signal = TeacherOutput(copy(inputs.teacher.logits), copies(inputs.teacher.features))
    return TermInputs(output, signal, inputs.batch)
