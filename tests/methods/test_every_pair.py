"""Every term under every method: a yes of the table takes two steps, a no is refused with its reason."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import tutelage
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.losses.response import LabelConfig
from tutelage.config.methods import (
    AssistantsConfig,
    JointConfig,
    MethodConfig,
    MethodName,
    MethodOptions,
    MultiTeacherConfig,
    RCOConfig,
)
from tutelage.config.model import ModelConfig
from tutelage.config.objective import LossConfig, settings_classes
from tutelage.data.class_subset import class_subset
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.peers import build_peers
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.teachers import Teachers
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.errors import UsageError
from tutelage.methods.compatibility import WAYS, Combine, caveat, refusal_reason
from tutelage.methods.factory import TrainingFacts, build_method, require_usable_losses
from tutelage.methods.method import Method
from tutelage.methods.registry import METHODS, spec_of
from tutelage.models.build import build_model
from tutelage.models.model_folder import SavedModel
from tutelage.types import Batch, LossOutput, Progress

STUDENT, TEACHER = "cifar_resnet8", "cifar_resnet14"
CPU = torch.device("cpu")
EPOCHS = 2


class Pair(NamedTuple):
    """A term under a method; combine: how several teachers are made one word."""

    method: MethodName
    term: str
    combine: Combine

    def teaching(self) -> dict[str, Any]:
        """Settings: the term beside a little of the label, and small forms of the methods."""
        settings = settings_classes()[self.term]
        weight = settings().weight or 1.0  # label and kd share what alpha leaves
        tables: dict[str, Any] = {"kd": None, "label": LabelConfig(weight=0.1)}
        methods = MethodOptions(
            multi_teacher=MultiTeacherConfig(models=(STUDENT,), combine=self.combine),
            assistants=AssistantsConfig(models=(STUDENT,), dense=True),
            rco=RCOConfig(checkpoints=EPOCHS),
            joint=JointConfig(model=TEACHER),
        )
        return {
            "method": self.method,
            "losses": LossConfig(**tables | {self.term: settings(weight=weight)}),
            "methods": methods,
        }


PAIRS = [
    Pair(method, term, combine)
    for method, term in itertools.product(METHODS, settings_classes())
    for combine in (WAYS if method == "multi-teacher" else WAYS[:1])
]


def each_once(pairs: Sequence[Pair]) -> set[Pair]:
    """Choose a few pairs in which every method and every term occurs."""
    chosen: set[Pair] = set()
    terms: set[str] = set()
    for method in METHODS:
        own = [pair for pair in pairs if pair.method == method]
        chosen |= set(sorted(own, key=lambda pair: pair.term in terms)[:1])
        terms = {pair.term for pair in chosen}
    for pair in pairs:
        if pair.term not in terms:
            chosen.add(pair)
            terms.add(pair.term)
    return chosen


def the(*, refused: bool) -> list[Any]:
    """Return the pairs that fit or do not: each method and term once in the fast tier, else in the last."""
    found = [pair for pair in PAIRS if (refusal_reason(*pair) is not None) == refused]
    fast = each_once(found)
    return [
        pytest.param(
            pair,
            id="-".join(pair[: 2 + (pair[0] == "multi-teacher")]),
            marks=pytest.mark.fast if pair in fast else pytest.mark.full,
        )
        for pair in found
    ]


# ---------------------------------------------------------------------- yes


@pytest.fixture(scope="module")
def batch(small_pack: Pack) -> Batch:
    """A few real images, with partners for the method that wants them."""
    loader = training_loader(
        small_pack, batch_size=5, views=TrainConfig(flip=True), seed=0, device=CPU, partners=True
    )
    return next(loader.epoch(0))


def network(name: str, pack: Pack, seed: int) -> SavedModel:
    classes, size, statistics = pack.classes, pack.image_size, (pack.mean, pack.std)
    built = build_model(
        ModelConfig(model=name),
        classes=len(classes),
        stored_size=size,
        train_statistics=statistics,
        seed=seed,
    )
    return SavedModel(built.classifier, classes, size, "white", name)


def finished(settings: TrainConfig, pack: Pack) -> list[SavedModel]:
    """As many finished teachers as a run of the method has: two, where it does not insist on one."""
    about = METHODS[settings.method]
    if not (about.needs_teacher or about.several_runs):
        return []
    beside_it = class_subset(pack, pack.classes[2:5]) if settings.method == "specialists" else pack
    teachers = [network(TEACHER, pack, 5), network(STUDENT, beside_it, 6)]
    try:
        spec_of(settings).check_teachers(settings, len(teachers))
    except UsageError:
        return teachers[:1]
    return teachers


def named(term: str, names: Sequence[str]) -> list[str]:
    """A term among those of all networks and exits."""
    return [name for name in names if name.rpartition(".")[2] == term]


def pulls(method: Method, outcome: LossOutput, term: str, progress: Progress) -> bool:
    """Whether the term, by what it weighs now, gives any of the student's weights a gradient but 0."""
    weights = method.weights_at(progress)
    parts = [outcome.terms[name] * weights[name] for name in named(term, list(outcome.terms))]
    value = torch.stack(parts).sum()
    learning = [p for p in method.student.parameters() if p.requires_grad]
    if not value.requires_grad:
        return False
    found = torch.autograd.grad(value, learning, retain_graph=True, allow_unused=True)
    return any(bool(gradient.any()) for gradient in found if gradient is not None)


@pytest.mark.parametrize("pair", the(refused=False))
def test_yes(
    pair: Pair, small_pack: Pack, batch: Batch, single: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """A step in each of two epochs, as a run takes them: all is finite, the term is heard, all weights move.

    The second epoch is for those with nothing to say to the student in the first: the method `past`, and the
    paraphraser of the term `ft`.
    """
    settings = single(
        model=STUDENT,
        role="student",
        epochs=EPOCHS,
        optimizer="sgd",
        lr=0.01,
        clip_grad=1.0,
        teacher_outputs="live",
        **pair.teaching(),
    )
    require_usable_losses(settings)
    student = network(STUDENT, small_pack, 0).classifier
    teachers = finished(settings, small_pack)
    opened = Teachers(settings, teachers)
    networks, shares = opened.networks, opened.shares(small_pack, CPU)
    rows, size = torch.from_numpy(small_pack.rows("train")), small_pack.image_size
    facts = TrainingFacts(EPOCHS, len(small_pack.classes), rows, size, shares=shares)
    method = build_method(settings, student, networks or build_peers(settings, small_pack), facts)
    runtime = resolve_runtime(settings)
    context = RunContext("run", tmp_path / "run", tmp_path, Console(quiet=True), StopRequest())
    word = opened.prepare(small_pack, method, context, runtime, shares=shares).teacher
    state = TrainingState(method.train(), settings, runtime)

    learning = [
        parameter
        for learner in (method.student, *method.companions)
        for parameter in learner.parameters()
        if parameter.requires_grad
    ]
    before = [parameter.detach().clone() for parameter in learning]
    pulled = []
    for epoch in range(EPOCHS):
        progress = Progress(epoch, state.step, epoch / EPOCHS)

        def watch(outcome: LossOutput, now: Progress = progress) -> None:
            pulled.append(pulls(method, outcome, pair.term, now))

        signal = word(batch, progress)
        outcome, total = train_step(
            state, batch, signal, progress, rate=settings.lr, clip=settings.clip_grad, watch=watch
        )
        assert set(outcome.terms) == set(method.weights)
        assert named(pair.term, list(outcome.terms))
        assert all(bool(value.isfinite()) for value in (total, *outcome.terms.values()))
    assert any(pulled)
    for parameter, first in zip(learning, before, strict=True):
        assert bool(parameter.isfinite().all())
        assert not torch.equal(parameter, first)


# ---------------------------------------------------------------------- no


@pytest.mark.parametrize("pair", the(refused=True))
def test_no(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Refused by name and with the reason by the preflight, and so by `run`, which makes nothing before."""
    reason, place = refusal_reason(*pair), tmp_path_factory.getbasetemp()
    assert reason
    with pytest.raises(UsageError) as caught:
        require_usable_losses(MethodConfig(**pair.teaching()))
    said = f"losses.{pair.term} cannot be used under the method {pair.method}: {reason}"
    assert said in str(caught.value)
    with pytest.raises(UsageError) as again:
        tutelage.run(
            place / "no such folder", DistillConfig(**pair.teaching()), out=place / "no such run"
        )
    assert str(again.value) == str(caught.value)
    assert not (place / "no such run").exists()


def test_a_table_says_what_is_tested() -> None:
    """A yes is one whatever the settings; what is refused by some alone names the others."""
    for method, term in itertools.product(METHODS, settings_classes()):
        reasons = {combine: refusal_reason(method, term, combine) for combine in WAYS}
        fits = [combine for combine, reason in reasons.items() if reason is None]
        said = caveat(method, term)
        if len(fits) == len(WAYS):
            assert said is None
        elif fits:
            assert method == "multi-teacher"
            assert said == f'only with methods.multi_teacher.combine = "{fits[0]}"'
        else:
            assert said in reasons.values()
