"""PS-KD: the past by a hand-written loop, weights that grow, and what is no past."""

import copy

import pytest
import torch
from torch import Tensor

from support.methods.self_student import EPOCHS, IDS, at, batch_of, made, network, training_facts
from tutelage.config.job import TrainConfig
from tutelage.config.losses.response import DISTConfig, KDConfig, LabelConfig
from tutelage.config.objective import LossConfig
from tutelage.errors import UsageError
from tutelage.methods.factory import build_method
from tutelage.methods.self.ps_kd import ProgressiveSelfKD
from tutelage.types import NO_TEACHER_OUTPUT, Batch

SOFT = LossConfig(kd=KDConfig(temperature=1.0))


@pytest.mark.parametrize("alpha", [0.8, 1.0])
def test_weights_grow(alpha: float) -> None:
    """At epoch e of 4, from 1, the past has alpha e / 4, and nothing in the first; the label the rest."""
    method = made("ps-kd", alpha=alpha, terms=SOFT)
    for epoch, share in enumerate((0.0, 0.5, 0.75, 1.0)):
        expected = {"label": 1 - alpha * share, "kd": alpha * share}
        assert method.weights_at(at(epoch)) == pytest.approx(expected)
        assert set(method.weights) == {"label", "kd"}


def test_any_term_gives_up_its_weight() -> None:
    """Schedules count first; what terms that hear the past give up goes to the label."""
    terms = LossConfig(
        label=LabelConfig(weight=0.5),
        kd=KDConfig(weight=2.0),
        dist=DISTConfig(weight=3.0, from_epoch=2.0),
    )
    method = made("ps-kd", terms=terms)
    found = [method.weights_at(at(epoch)) for epoch in range(EPOCHS)]
    assert [now["kd"] for now in found] == pytest.approx([0.0, 1.0, 1.5, 2.0])
    assert [now["dist"] for now in found] == pytest.approx([0.0, 0.0, 2.25, 3.0])
    assert [now["label"] for now in found] == pytest.approx([2.5, 1.5, 0.5 + 0.5 + 0.75, 0.5])


def soft_target_loss(logits: Tensor, labels: Tensor, past: Tensor, alpha: float) -> Tensor:
    """Cross-entropy with (1 - a) onehot + a past, as the paper writes it."""
    target = torch.nn.functional.one_hot(labels, logits.shape[1]) * (1 - alpha) + alpha * past
    return -(target * logits.log_softmax(1)).sum(1).mean()


def order(epoch: int) -> list[Batch]:
    """Three batches of one epoch, in an order of its own; the images of an id differ by epoch."""
    batches = [batch_of(6, first=6 * number) for number in range(3)]
    turned = batches[epoch % 3 :] + batches[: epoch % 3]
    return [b._replace(images=b.images.roll(epoch, 3)) for b in turned]


def test_against_a_loop_by_hand() -> None:
    """Four epochs of plain SGD end in the weights of the paper's loop with a dictionary of the past."""
    student = network().double()
    plain = copy.deepcopy(student)
    method = made("ps-kd", student, alpha=0.8, terms=SOFT)
    mine, hand = (torch.optim.SGD(m.parameters(), lr=0.05) for m in (method, plain))
    past: dict[int, Tensor] = {}
    for epoch in range(EPOCHS):
        for batch in order(epoch):
            outcome = method(batch, NO_TEACHER_OUTPUT, at(epoch))
            mine.zero_grad()
            torch.autograd.backward(method.total(outcome, at(epoch)))
            mine.step()
            logits = plain(batch.images).logits
            ids = batch.ids.tolist()
            onehot = torch.nn.functional.one_hot(batch.labels, logits.shape[1]).double()
            before = torch.stack([past.get(i, hot) for i, hot in zip(ids, onehot, strict=True)])
            alpha = 0.8 * (epoch + 1) / EPOCHS  # the authors' first past is the label itself
            loss = soft_target_loss(logits, batch.labels, before, alpha)
            hand.zero_grad()
            torch.autograd.backward(loss)
            hand.step()
            past |= dict(zip(ids, logits.detach().softmax(1), strict=True))
    for found, expected in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_what_is_remembered() -> None:
    """The rows of the images that were shown, in training alone; nothing else."""
    method = made("ps-kd", alpha=0.8, terms=SOFT)
    assert isinstance(method, ProgressiveSelfKD)
    batch = batch_of(6, first=12)
    method.eval()(batch, NO_TEACHER_OUTPUT, at(0))
    assert not method.said.any()
    outcome = method.train()(batch, NO_TEACHER_OUTPUT, at(0))
    rows = [IDS.tolist().index(i) for i in batch.ids.tolist()]
    assert torch.equal(method.said[rows], outcome.logits)
    assert not method.said[[r for r in range(len(IDS)) if r not in rows]].any()
    assert outcome.terms["kd"].item() == pytest.approx(0.0, abs=1e-12)


def test_the_order_of_ids_does_not_matter() -> None:
    """Training facts may name its images in any order."""
    turned = made("ps-kd", terms=SOFT, about=training_facts(ids=IDS.flip(0)))
    usual = made("ps-kd", terms=SOFT)
    for epoch in (0, 1):
        totals = [
            m.total(m(batch_of(), NO_TEACHER_OUTPUT, at(epoch)), at(epoch)) for m in (turned, usual)
        ]
        assert torch.equal(totals[0], totals[1])


def test_an_unlabelled_image_has_a_past() -> None:
    """Without any label the loss is that of the past alone."""
    method = made("ps-kd", alpha=0.8, terms=SOFT)
    batch = batch_of()._replace(labels=torch.full((6,), -1))
    method(batch, NO_TEACHER_OUTPUT, at(0))
    torch.nn.init.normal_(next(method.student.parameters()))
    outcome = method(batch, NO_TEACHER_OUTPUT, at(3))
    assert outcome.terms["label"].item() == 0.0
    assert outcome.terms["kd"].item() > 1e-6
    expected = 0.8 * outcome.terms["kd"]
    torch.testing.assert_close(method.total(outcome, at(3)), expected)


@pytest.mark.parametrize("views", [{"mixup": 0.4}, {"cutmix": 1.0}])
@pytest.mark.parametrize("name", ["ps-kd", "cs-kd"])
def test_views_of_two_images_are_refused(name: str, views: dict[str, float]) -> None:
    """With the reason."""
    settings = TrainConfig(method=name, **views)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"{name} cannot be used with views of two images"):
        build_method(settings, network(), (), training_facts())
    build_method(TrainConfig(method=name), network(), (), training_facts())  # type: ignore[arg-type]
