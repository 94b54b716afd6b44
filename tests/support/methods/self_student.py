"""What the tests of self-distillation share: networks in float64, training facts, batches, methods."""

from typing import Any

import timm
import torch
from torch import Tensor

import tutelage.models.cifar.names  # noqa: F401  so that timm knows them
from tutelage.config.methods import MethodConfig, MethodOptions
from tutelage.config.objective import LossConfig
from tutelage.methods.factory import TrainingFacts, build_method
from tutelage.methods.method import Method
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.types import Batch, LossOutput, Progress

CLASSES, SIZE, EPOCHS = 5, 32, 4
IDS = torch.arange(60) * 3 + 7
"""Rows of a pack that holds other images, too."""

METHODS = ("ps-kd", "cs-kd", "tf-kd", "mean-teacher", "byot")


def network(name: str = "cifar_resnet8", *, seed: int = 0) -> Classifier:
    """A small real network in training."""
    torch.manual_seed(seed)
    made = timm.create_model(name, num_classes=CLASSES)
    return Classifier(made, Preprocess(size=SIZE, mean=(0.5,) * 3, std=(0.25,) * 3)).train()


def images(count: int, *, seed: int) -> Tensor:
    """uint8 [count, 3, 32, 32], of blocks rather than of noise, which looks all alike to a network."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return drawn.repeat_interleave(SIZE // 4, 2).repeat_interleave(SIZE // 4, 3)


def batch_of(count: int = 6, *, first: int = 0) -> Batch:
    """Labelled images with partners; their ids are not in order."""
    ids = IDS[torch.arange(first, first + count)].flip(0)
    labels = (torch.arange(count) * 3 + first) % CLASSES
    partners = images(count, seed=first + 1000)
    return Batch(images(count, seed=first), labels, ids, 0, partners=partners)


def training_facts(**changes: Any) -> TrainingFacts:
    """Of the images `IDS`."""
    return TrainingFacts(epochs=EPOCHS, classes=CLASSES, ids=IDS, size=SIZE)._replace(**changes)


def made(
    name: str,
    student: Classifier | None = None,
    *,
    alpha: float | None = None,
    terms: LossConfig | None = None,
    about: TrainingFacts | None = None,
    **methods: Any,
) -> Method:
    """A method of some settings, in training; in float64."""
    options: Any = {"method": name, "alpha": alpha, "methods": MethodOptions(**methods)}
    settings = MethodConfig(losses=terms or LossConfig(), **options)
    return (
        build_method(settings, student or network(), (), about or training_facts()).double().train()
    )


def at(epoch: float, *, step: int = 0) -> Progress:
    """Where training stands after so many epochs."""
    return Progress(int(epoch), step, epoch / EPOCHS)


def gradients(method: Method, outcome: LossOutput, progress: Progress) -> dict[str, Tensor]:
    """The gradient of what is minimised by each parameter that has one."""
    method.zero_grad()
    torch.autograd.backward(method.total(outcome, progress))
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
