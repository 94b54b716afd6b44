"""Measure what every loss costs beside a plain step of the student: time and memory."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tutelage.config.model import ModelConfig
from tutelage.config.objective import settings_classes
from tutelage.errors import TutelageError
from tutelage.evaluation.memory import peak_bytes
from tutelage.evaluation.timing import Way, time_interleaved
from tutelage.losses.registry import term_class
from tutelage.losses.term import BuildContext, Term
from tutelage.models.build import build_model
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput

_LATE = Progress(epoch=9, step=900, fraction=0.9)
"""Past the first stage of terms that have stages."""


class LossBenchmark(NamedTuple):
    """A student and its teacher by name, images [batch_size, 3, size, size], and outputs."""

    student: str
    teacher: str
    size: int
    batch_size: int
    classes: int
    device: torch.device


class TermCost(NamedTuple):
    """Seconds and bytes by name, the plain step first; without: terms that do not fit, and why."""

    seconds: dict[str, list[float]]
    bytes: dict[str, int]
    without: dict[str, str]


def measure_terms(setting: LossBenchmark, *, rounds: int, settle: Callable[[], None]) -> TermCost:
    """Measure each term's forward and backward pass, on features of the networks' real shapes.

    The plain step is the student's forward pass, cross-entropy and backward pass in fp32. Networks and
    features are random: costs do not depend on what they know.

    Args:
        setting: what is computed.
        rounds: how often each is timed, in turn.
        settle: waits for work still in flight.
    """
    student, teacher = (_network(name, setting) for name in (setting.student, setting.teacher))
    ground = BuildContext(
        inspect_network(student, setting.size),
        inspect_network(teacher, setting.size),
        classes=setting.classes,
        images=50_000,  # as many as CIFAR and Fashion-MNIST teach with, for terms with a memory
    )
    ways: dict[str, Way] = {"plain step": _plain(student, setting)}
    without = {}
    for seed, (name, settings) in enumerate(settings_classes().items()):
        try:
            term = term_class(name).build(settings(), ground).to(setting.device)
            ways[name] = _way(term, setting, seed)
        except TutelageError as error:
            without[name] = str(error).splitlines()[0]
    seconds = time_interleaved(ways, rounds=rounds, settle=settle)
    taken = {name: peak_bytes(way, setting.device) for name, way in ways.items()}
    return TermCost(seconds, taken, without)


def _network(name: str, setting: LossBenchmark) -> Classifier:
    built = build_model(
        ModelConfig(model=name, weights="none"),
        classes=setting.classes,
        stored_size=setting.size,
        train_statistics=((0.5,) * 3, (0.5,) * 3),
        seed=0,
    )
    return built.classifier.to(setting.device)


def _plain(student: Classifier, setting: LossBenchmark) -> Way:
    size = (setting.batch_size, 3, setting.size, setting.size)
    images = torch.zeros(size, dtype=torch.uint8, device=setting.device)
    labels = torch.zeros(setting.batch_size, dtype=torch.int64, device=setting.device)

    def way() -> None:
        student.train()
        torch.autograd.backward(cross_entropy(student(images).logits, labels))
        student.zero_grad(set_to_none=True)

    return way


def _way(term: Term, setting: LossBenchmark, seed: int) -> Way:
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        drawn = torch.randn(setting.batch_size, *shape, generator=generator)
        return drawn.to(setting.device)

    pairs = getattr(term, "pairs", ())
    student = ModelOutput(
        numbers(setting.classes).requires_grad_(),
        {pair.student.path: numbers(*pair.student.shape).requires_grad_() for pair in pairs},
    )
    features = {pair.teacher.path: numbers(*pair.teacher.shape) for pair in pairs}
    signal = TeacherOutput(numbers(setting.classes), features)
    count = setting.batch_size
    labels = torch.randint(0, setting.classes, (count,), generator=generator).to(setting.device)
    images = torch.zeros(count, 3, 1, 1, dtype=torch.uint8, device=setting.device)
    batch = Batch(images, labels, torch.arange(count, device=setting.device), view=0)
    leaves = [student.logits, *student.features.values(), *term.parameters()]

    def way() -> None:
        torch.autograd.backward(term(student, signal, batch, _LATE))
        for leaf in leaves:
            leaf.grad = None

    return way
