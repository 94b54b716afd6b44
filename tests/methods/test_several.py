"""Several finished teachers: totals by a loop over them, weights, terms that look inside, what is refused."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tutelage.config.losses.feature import Hint
from tutelage.config.losses.response import DKD, KD, Label
from tutelage.config.methods import Assistants, Course, Methods, Several, Teaching
from tutelage.config.objective import Terms
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.errors import UsageError
from tutelage.losses.cross_entropy import label_loss
from tutelage.losses.response.kd import kd_loss
from tutelage.methods.describe import described, unlike
from tutelage.methods.factory import Lesson, make_method, require_terms
from tutelage.methods.multi_teacher import require_teachers, shares_of, temperature_of
from tutelage.methods.offline import Offline
from tutelage.models.build import Built
from tutelage.models.preprocess import Classifier
from tutelage.teachers.ensemble import Apart, Together
from tutelage.teachers.live import Live
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch

CPU = torch.device("cpu")
Class = Callable[..., tuple[Offline, list[Classifier], Batch]]


def several(terms: Terms | None = None, **changes: Any) -> Teaching:
    """Settings of several teachers."""
    methods = Methods(several=Several(**changes))
    return Teaching(method="several", methods=methods, terms=terms or Terms())


@pytest.fixture
def lesson(make_network: Callable[..., Built], small_pack: Pack) -> Class:
    """A small ResNet under teachers of other depths, families and input sizes."""

    def make(settings: Teaching, shares: tuple[float, ...] = (), count: int = 3) -> Any:
        student = make_network("cifar_resnet8", seed=1).classifier
        names = {"cifar_resnet14": None, "test_resnet": 48, "cifar_resnet8": 40}
        teachers = [
            make_network(name, seed=n + 2, input_size=size).classifier
            for n, (name, size) in enumerate(names.items())
        ][:count]
        rows = small_pack.rows("train")
        about = Lesson(4, 10, torch.from_numpy(rows), small_pack.image_size, shares=shares, seed=3)
        method = make_method(settings, student, teachers, about).eval()
        batch = next(reading_loader(small_pack, rows[::25], batch_size=8, device=CPU).epoch())
        assert isinstance(method, Offline)
        return method, teachers, batch

    return make


def said(teachers: list[Classifier], batch: Batch) -> list[Tensor]:
    with torch.no_grad():
        return [teacher.eval()(batch.images).logits for teacher in teachers]


def heard(method: Offline, teachers: list[Classifier]) -> Teacher:
    """The teachers apart, each with what the terms under it look at."""
    lives = []
    for number, teacher in enumerate(teachers):
        needs = method.needs_from(number)
        lives.append(Live(teacher, sorted({*needs.teacher_points, *needs.teacher_vectors})))
    return Apart(lives)


def test_divergences(lesson: Class) -> None:
    """The total is the label's term once, and KD under each teacher by its share."""
    shares = (0.5, 0.3, 0.2)
    method, teachers, batch = lesson(several(combine="divergences"), shares)
    outcome = method(batch, heard(method, teachers)(batch), START)
    words = said(teachers, batch)
    kd = sum(w * kd_loss(outcome.logits, z) for w, z in zip(shares, words, strict=True))
    expected = 0.3 * label_loss(outcome.logits, batch.labels) + 0.7 * kd
    assert method.total(outcome).item() == pytest.approx(expected.item(), rel=1e-6)
    assert outcome.terms["kd"].item() == pytest.approx(float(kd), rel=1e-6)


@pytest.mark.parametrize("combine", ["probabilities", "logits"])
def test_together(lesson: Class, combine: str) -> None:
    """The student is held to one distribution: by hand the mean of the teachers' softened ones, or logits."""
    settings = several(combine=combine)
    method, teachers, batch = lesson(settings)
    words = said(teachers, batch)
    temperature = temperature_of(settings) if combine == "probabilities" else None
    together = Together([Live(t) for t in teachers], (0.2, 0.3, 0.5), temperature=temperature)
    outcome = method(batch, together(batch), START)
    if combine == "probabilities":
        mean = sum(w * (z / 4).softmax(1) for w, z in zip((0.2, 0.3, 0.5), words, strict=True))
    else:
        mean = (sum(w * z for w, z in zip((0.2, 0.3, 0.5), words, strict=True)) / 4).softmax(1)
    log_q = (outcome.logits / 4).log_softmax(1)
    expected = 16 * (mean * (mean.log() - log_q)).sum(1).mean()
    assert outcome.terms["kd"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_each_teacher_has_adapters_of_its_own(lesson: Class) -> None:
    """Terms that look inside are heard under each, through layers and with warnings of its own; all learn."""
    terms = Terms(label=Label(weight=1.0), kd=KD(weight=0.0), hint=Hint(weight=2.0))
    method, teachers, batch = lesson(several(terms, combine="divergences"), count=2)
    assert all(method.needs_from(number).teacher_points for number in range(2))
    assert not method.needs_from(1).labels
    student = method.student
    assert isinstance(student, Classifier)
    told = [unlike(method, student, teacher, number=n) for n, teacher in enumerate(teachers)]
    assert told[0] == []
    assert told[1]
    hint = next(facts for facts in described(method) if facts["name"] == "hint")
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


def test_one_teacher_twice(lesson: Class, make_network: Callable[..., Built]) -> None:
    """A teacher given twice: its terms have the same value to the bit, gradients the same to rounding."""
    found = {}
    for times in (1, 2):
        torch.manual_seed(0)
        settings = several(combine="divergences")
        method, _, batch = lesson(settings, (1 / times,) * times, count=times)
        teacher = make_network("cifar_resnet14", seed=9).classifier
        outcome = method(batch, Apart([Live(teacher)] * times)(batch), START)
        torch.autograd.backward(method.total(outcome))
        grads = [p.grad.flatten() for p in method.student.parameters() if p.grad is not None]
        found[times] = outcome.terms["kd"].item(), torch.cat(grads)
    assert found[1][0] == found[2][0]
    torch.testing.assert_close(found[1][1], found[2][1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("combine", ["probabilities", "logits"])
def test_terms_that_look_inside_want_each_teacher(combine: str) -> None:
    """Refused where teachers speak with one voice, with what to do; allowed where each is heard."""
    terms = Terms(hint=Hint())
    with pytest.raises(UsageError, match=r"hint.*several teachers say together.*divergences"):
        require_terms(several(terms, combine=combine))
    require_terms(several(terms, combine="divergences"))
    require_terms(several(combine=combine))


def test_shares() -> None:
    """Given weights are normalised; losses count by exp(-s loss), however large they are."""
    assert shares_of(Several(), 4) == (0.25,) * 4
    assert shares_of(Several(weights=(3.0, 1.0, 0.0)), 3) == (0.75, 0.25, 0.0)
    by_loss = Several(weigh="validation", sharpness=2.0)
    found = shares_of(by_loss, 2, [0.1, 0.6])
    assert found[0] / found[1] == pytest.approx(2.718281828459045)
    assert sum(found) == pytest.approx(1.0)
    assert shares_of(by_loss, 2, [2000.0, 2000.5]) == pytest.approx(found)


def test_temperature_of_the_mean() -> None:
    """That of KD where it counts, else of the first term that has one, else 1."""
    dkd = Terms(label=Label(weight=1.0), kd=KD(weight=0.0), dkd=DKD(temperature=2.0))
    assert temperature_of(Teaching()) == 4.0
    assert temperature_of(Teaching(terms=dkd)) == 2.0
    both = dataclasses.replace(dkd, kd=KD(weight=0.5, temperature=7.0))
    assert temperature_of(Teaching(terms=both)) == 7.0
    assert temperature_of(Teaching(terms=dataclasses.replace(dkd, dkd=None))) == 1.0


REFUSED = {
    "two for offline": (Teaching(), 2, "has one teacher"),
    "two for a chain": (Teaching(method="assistants"), 2, "has one teacher"),
    "another course": (
        Teaching(method="course", methods=Methods(course=Course(checkpoints=3))), 2, "checkpoints 2",
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
        require_teachers(settings, count)
    told = " ".join(str(part) for part in vars(caught.value).values())
    assert re.search(said_of_it, told), told


def test_allowed() -> None:
    """What fits: one alone, a dense chain of several, weights for each."""
    dense = Methods(assistants=Assistants(dense=True))
    require_teachers(Teaching(), 1)
    require_teachers(Teaching(method="assistants", methods=dense), 3)
    require_teachers(several(weights=(1.0, 0.0)), 2)
    require_teachers(several(weigh="confidence"), 1)
