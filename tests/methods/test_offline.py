"""Training under a finished teacher, or none: totals by formula, gradients, nothing else touched."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.loss_weights import loss_weights
from tutelage.config.objective import ObjectiveConfig
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.errors import UsageError
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext, Needs
from tutelage.methods.offline import OfflineDistillation, supervised_training
from tutelage.models.build import BuiltModel
from tutelage.models.weights import fingerprint_of
from tutelage.teachers.live import LiveTeacher
from tutelage.types import NO_NETWORK_INFO, NO_TEACHER_OUTPUT, START, Batch, TeacherOutput

GROUND = BuildContext(NO_NETWORK_INFO, NO_NETWORK_INFO, classes=10, images=1000)


@pytest.fixture
def batch(small_pack: Pack) -> Batch:
    rows = small_pack.rows("train")[::20]
    loader = reading_loader(small_pack, rows, batch_size=10, device=torch.device("cpu"))
    return next(loader.epoch())


@pytest.fixture
def offline(make_network: Callable[..., BuiltModel]) -> OfflineDistillation:
    objective = ObjectiveConfig(alpha=0.7)
    terms = build_terms(objective, GROUND)
    return OfflineDistillation(make_network(seed=1).classifier, terms, loss_weights(objective))


def softened(logits: Tensor, temperature: float) -> np.ndarray:
    """Log-probabilities in float64."""
    values = logits.detach().double().numpy() / temperature
    values -= values.max(1, keepdims=True)
    return values - np.log(np.exp(values).sum(1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_supervised(
    make_network: Callable[..., BuiltModel], batch: Batch, smoothing: float
) -> None:
    """Alone, a network minimises cross-entropy with the labels and nothing else."""
    method = supervised_training(make_network().classifier, label_smoothing=smoothing)
    outcome = method(batch, NO_TEACHER_OUTPUT, START)
    expected = F.cross_entropy(outcome.logits, batch.labels, label_smoothing=smoothing)
    torch.testing.assert_close(method.total(outcome), expected)
    assert list(outcome.terms) == ["label"]
    assert method.needs == Needs(labels=True)


def test_total(
    offline: OfflineDistillation, make_network: Callable[..., BuiltModel], batch: Batch
) -> None:
    """Taught, it minimises 0.3 * cross-entropy + 0.7 * 16 * KL(teacher || student), by the formula."""
    signal = LiveTeacher(make_network(seed=2).classifier)(batch)
    outcome = offline(batch, signal, START)
    assert signal.logits is not None
    log_q, log_p = softened(outcome.logits, 4.0), softened(signal.logits, 4.0)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(1).mean()
    label = -softened(outcome.logits, 1.0)[np.arange(10), batch.labels.numpy()].mean()
    expected = 0.3 * label + 0.7 * 4.0**2 * divergence
    assert offline.total(outcome).item() == pytest.approx(expected, rel=1e-5)
    assert outcome.terms["kd"].item() == pytest.approx(16 * divergence, rel=1e-4)
    assert offline.needs == Needs(teacher_logits=True, labels=True)


def test_only_the_student_learns(
    offline: OfflineDistillation, make_network: Callable[..., BuiltModel], batch: Batch
) -> None:
    """A step changes the student; the teacher gets no gradient and keeps every byte."""
    teacher = make_network(seed=2).classifier
    live = LiveTeacher(teacher)
    before, student_before = fingerprint_of(teacher), fingerprint_of(offline.student)
    optimizer = torch.optim.SGD(offline.parameters(), lr=0.1)
    for _ in range(2):
        torch.autograd.backward(offline.total(offline(batch, live(batch), START)))
        optimizer.step()
    assert all(p.grad is None for p in teacher.parameters())
    assert fingerprint_of(teacher) == before
    assert fingerprint_of(offline.student) != student_before


def test_teacher_is_no_part_of_the_method(offline: OfflineDistillation) -> None:
    """What is trained, moved and saved is the student alone."""
    assert {name.partition(".")[0] for name in offline.state_dict()} == {"student"}
    own = list(offline.student.parameters())
    assert len(list(offline.parameters())) == len(own)


def test_unlabelled_images_teach_too(
    offline: OfflineDistillation, make_network: Callable[..., BuiltModel], batch: Batch
) -> None:
    """Images without a label count for the teacher's term and leave the label's at zero."""
    signal = LiveTeacher(make_network(seed=2).classifier)(batch)
    bare = batch._replace(labels=torch.full_like(batch.labels, -1))
    outcome = offline(bare, signal, START)
    assert outcome.terms["label"].item() == 0.0
    expected = 0.7 * outcome.terms["kd"].item()
    assert offline.total(outcome).item() == pytest.approx(expected, rel=1e-6)


def test_nobody_teaches(offline: OfflineDistillation, batch: Batch) -> None:
    """A taught student without a teacher is refused, not trained on the labels."""
    with pytest.raises(UsageError, match="teacher"):
        offline(batch, NO_TEACHER_OUTPUT, START)


def test_equal_networks(make_network: Callable[..., BuiltModel], batch: Batch) -> None:
    """A student that says what its teacher says has nothing to learn from it."""
    objective = ObjectiveConfig(alpha=1.0)
    student = make_network(seed=1).classifier.eval()
    method = OfflineDistillation(student, build_terms(objective, GROUND), loss_weights(objective))
    outcome = method.eval()(batch, TeacherOutput(student(batch.images).logits.detach(), {}), START)
    assert method.total(outcome).item() == pytest.approx(0.0, abs=1e-6)
