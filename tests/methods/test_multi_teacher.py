"""Several finished teachers: totals by a loop over them, weights, terms that look inside, what is refused."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tutelage.config.losses.feature import HintConfig
from tutelage.config.losses.response import DKDConfig, KDConfig, LabelConfig
from tutelage.config.methods import (
    AssistantsConfig,
    MethodConfig,
    MethodOptions,
    MultiTeacherConfig,
    RCOConfig,
)
from tutelage.config.objective import LossConfig
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.errors import UsageError
from tutelage.losses.cross_entropy import label_loss
from tutelage.losses.response.kd import kd_loss
from tutelage.methods.describe import architecture_warnings, describe_terms
from tutelage.methods.factory import TrainingFacts, build_method, require_usable_losses
from tutelage.methods.multi_teacher import ensemble_temperature, teacher_shares
from tutelage.methods.offline import OfflineDistillation
from tutelage.methods.registry import spec_of
from tutelage.models.build import BuiltModel
from tutelage.models.preprocess import Classifier
from tutelage.teachers.ensemble import EnsembleTeacher, TeacherList
from tutelage.teachers.live import LiveTeacher
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch

CPU = torch.device("cpu")
Class = Callable[..., tuple[OfflineDistillation, list[Classifier], Batch]]


def several(terms: LossConfig | None = None, **changes: Any) -> MethodConfig:
    """Settings of several teachers."""
    methods = MethodOptions(multi_teacher=MultiTeacherConfig(**changes))
    return MethodConfig(method="multi-teacher", methods=methods, losses=terms or LossConfig())


@pytest.fixture
def built(make_network: Callable[..., BuiltModel], small_pack: Pack) -> Class:
    """A small ResNet under teachers of other depths, families and input sizes."""

    def make(settings: MethodConfig, shares: tuple[float, ...] = (), count: int = 3) -> Any:
        student = make_network("cifar_resnet8", seed=1).classifier
        names = {"cifar_resnet14": None, "test_resnet": 48, "cifar_resnet8": 40}
        teachers = [
            make_network(name, seed=n + 2, input_size=size).classifier
            for n, (name, size) in enumerate(names.items())
        ][:count]
        rows = small_pack.rows("train")
        about = TrainingFacts(
            4, 10, torch.from_numpy(rows), small_pack.image_size, shares=shares, seed=3
        )
        method = build_method(settings, student, teachers, about).eval()
        batch = next(reading_loader(small_pack, rows[::25], batch_size=8, device=CPU).epoch())
        assert isinstance(method, OfflineDistillation)
        return method, teachers, batch

    return make


def said(teachers: list[Classifier], batch: Batch) -> list[Tensor]:
    with torch.no_grad():
        return [teacher.eval()(batch.images).logits for teacher in teachers]


def heard(method: OfflineDistillation, teachers: list[Classifier]) -> Teacher:
    """The teachers apart, each with what the terms under it look at."""
    lives = []
    for number, teacher in enumerate(teachers):
        needs = method.needs_from(number)
        lives.append(LiveTeacher(teacher, sorted({*needs.teacher_points, *needs.teacher_vectors})))
    return TeacherList(lives)


def test_divergences(built: Class) -> None:
    """The total is the label's term once, and KD under each teacher by its share."""
    shares = (0.5, 0.3, 0.2)
    method, teachers, batch = built(several(combine="divergences"), shares)
    outcome = method(batch, heard(method, teachers)(batch), START)
    words = said(teachers, batch)
    kd = sum(w * kd_loss(outcome.logits, z) for w, z in zip(shares, words, strict=True))
    expected = 0.3 * label_loss(outcome.logits, batch.labels) + 0.7 * kd
    assert method.total(outcome).item() == pytest.approx(expected.item(), rel=1e-6)
    assert outcome.terms["kd"].item() == pytest.approx(float(kd), rel=1e-6)


@pytest.mark.parametrize("combine", ["probabilities", "logits"])
def test_together(built: Class, combine: str) -> None:
    """The student is held to one distribution: by hand the mean of the teachers' softened ones, or logits."""
    settings = several(combine=combine)
    method, teachers, batch = built(settings)
    words = said(teachers, batch)
    temperature = ensemble_temperature(settings) if combine == "probabilities" else None
    together = EnsembleTeacher(
        [LiveTeacher(t) for t in teachers], (0.2, 0.3, 0.5), temperature=temperature
    )
    outcome = method(batch, together(batch), START)
    if combine == "probabilities":
        mean = sum(w * (z / 4).softmax(1) for w, z in zip((0.2, 0.3, 0.5), words, strict=True))
    else:
        mean = (sum(w * z for w, z in zip((0.2, 0.3, 0.5), words, strict=True)) / 4).softmax(1)
    log_q = (outcome.logits / 4).log_softmax(1)
    expected = 16 * (mean * (mean.log() - log_q)).sum(1).mean()
    assert outcome.terms["kd"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_each_teacher_has_adapters_of_its_own(built: Class) -> None:
    """Terms that look inside are heard under each, through layers and with warnings of its own; all learn."""
    terms = LossConfig(
        label=LabelConfig(weight=1.0), kd=KDConfig(weight=0.0), hint=HintConfig(weight=2.0)
    )
    method, teachers, batch = built(several(terms, combine="divergences"), count=2)
    assert all(method.needs_from(number).teacher_points for number in range(2))
    assert not method.needs_from(1).labels
    student = method.student
    assert isinstance(student, Classifier)
    told = [
        architecture_warnings(method, student, teacher, number=n)
        for n, teacher in enumerate(teachers)
    ]
    assert told[0] == []
    assert told[1]
    hint = next(facts for facts in describe_terms(method) if facts["name"] == "hint")
    assert [point["teacher"].partition(":")[0] for point in hint["points"]] == [
        "teacher 1",
        "teacher 2",
    ]
    assert hint["parameters"] == sum(
        p.numel() for n, p in method.named_parameters() if ".hint." in n
    )
    assert hint["parameters"] > 0
    outcome = method(batch, heard(method, teachers)(batch), START)
    torch.autograd.backward(method.total(outcome))
    own = {n: p for n, p in method.named_parameters() if not n.startswith("student.")}
    assert {name.partition(".hint")[0] for name in own} == {"terms", "further.0"}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own.values())
    assert all(p.grad is None for teacher in teachers for p in teacher.parameters())


def test_one_teacher_twice(built: Class, make_network: Callable[..., BuiltModel]) -> None:
    """A teacher given twice: its terms have the same value to the bit, gradients the same to rounding."""
    found = {}
    for times in (1, 2):
        torch.manual_seed(0)
        settings = several(combine="divergences")
        method, _, batch = built(settings, (1 / times,) * times, count=times)
        teacher = make_network("cifar_resnet14", seed=9).classifier
        outcome = method(batch, TeacherList([LiveTeacher(teacher)] * times)(batch), START)
        torch.autograd.backward(method.total(outcome))
        grads = [p.grad.flatten() for p in method.student.parameters() if p.grad is not None]
        found[times] = outcome.terms["kd"].item(), torch.cat(grads)
    assert found[1][0] == found[2][0]
    torch.testing.assert_close(found[1][1], found[2][1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("combine", ["probabilities", "logits"])
def test_terms_that_look_inside_want_each_teacher(combine: str) -> None:
    """Refused where teachers speak with one voice, with what to do; allowed where each is heard."""
    terms = LossConfig(hint=HintConfig())
    with pytest.raises(UsageError, match=r"hint.*mean output of several teachers.*divergences"):
        require_usable_losses(several(terms, combine=combine))
    require_usable_losses(several(terms, combine="divergences"))
    require_usable_losses(several(combine=combine))


def test_shares() -> None:
    """Given weights are normalised; losses count by exp(-s loss), however large they are."""
    assert teacher_shares(MultiTeacherConfig(), 4) == (0.25,) * 4
    assert teacher_shares(MultiTeacherConfig(weights=(3.0, 1.0, 0.0)), 3) == (0.75, 0.25, 0.0)
    by_loss = MultiTeacherConfig(weigh="validation", sharpness=2.0)
    found = teacher_shares(by_loss, 2, [0.1, 0.6])
    assert found[0] / found[1] == pytest.approx(2.718281828459045)
    assert sum(found) == pytest.approx(1.0)
    assert teacher_shares(by_loss, 2, [2000.0, 2000.5]) == pytest.approx(found)


def test_temperature_of_the_mean() -> None:
    """That of KD where it counts, else of the first term that has one, else 1."""
    dkd = LossConfig(
        label=LabelConfig(weight=1.0), kd=KDConfig(weight=0.0), dkd=DKDConfig(temperature=2.0)
    )
    assert ensemble_temperature(MethodConfig()) == 4.0
    assert ensemble_temperature(MethodConfig(losses=dkd)) == 2.0
    both = dataclasses.replace(dkd, kd=KDConfig(weight=0.5, temperature=7.0))
    assert ensemble_temperature(MethodConfig(losses=both)) == 7.0
    assert ensemble_temperature(MethodConfig(losses=dataclasses.replace(dkd, dkd=None))) == 1.0


REFUSED = {
    "two for offline": (MethodConfig(), 2, "has one teacher"),
    "two for a chain": (MethodConfig(method="assistants"), 2, "has one teacher"),
    "another course": (
        MethodConfig(method="rco", methods=MethodOptions(rco=RCOConfig(checkpoints=3))), 2, "checkpoints 2",
    ),
    "confidence": (
        several(combine="divergences", weigh="confidence"), 2, r"the forward KL .* same gradient",
    ),
    "said twice": (several(weigh="validation", weights=(1.0, 1.0)), 2, "given and measured"),
    "too few weights": (several(weights=(1.0,)), 2, "one for each teacher"),
    "no weight at all": (several(weights=(0.0, 0.0)), 2, "not all of them 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """Teachers and weights that do not fit the method are refused by name, with what to do instead."""
    settings, count, said_of_it = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        spec_of(settings).check_teachers(settings, count)
    told = " ".join(str(part) for part in vars(caught.value).values())
    assert re.search(said_of_it, told), told


def test_allowed() -> None:
    """What fits: one alone, a dense chain of several, weights for each."""
    dense = MethodOptions(assistants=AssistantsConfig(dense=True))
    for settings, count in (
        (MethodConfig(), 1),
        (MethodConfig(method="assistants", methods=dense), 3),
        (several(weights=(1.0, 0.0)), 2),
        (several(weigh="confidence"), 1),
    ):
        spec_of(settings).check_teachers(settings, count)
