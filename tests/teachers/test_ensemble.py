"""Several words made one: against loops in float64, against each other, and what stays as it is."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tutelage.losses.response.kd import Direction, kd_loss
from tutelage.teachers.checkpoint_sequence import CheckpointSequence
from tutelage.teachers.ensemble import (
    EnsembleTeacher,
    TeacherList,
    confidence,
    mean_logits,
    mean_probability_logits,
)
from tutelage.types import START, Batch, MixedLabels, Progress, TeacherOutput

SHARES = (0.5, 0.2, 0.3)


@pytest.fixture
def words() -> Tensor:
    """float64 [3, 6, 5]: three teachers that are sure of different things."""
    generator = torch.Generator().manual_seed(0)
    return 4 * torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)


@pytest.fixture
def batch() -> Batch:
    """Six images, two of them without a label; images are not looked at."""
    labels = torch.tensor([0, 4, -1, 2, 1, -1])
    return Batch(torch.zeros(6, 3, 4, 4, dtype=torch.uint8), labels, torch.arange(6), 0)


def softmax(row: np.ndarray) -> np.ndarray:
    shares = np.exp(row - row.max())
    return shares / shares.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shares", [SHARES, (0.0, 0.4, 0.6)])
def test_mean_probabilities(words: Tensor, shares: tuple[float, ...], temperature: float) -> None:
    """Softened by T, the answer is the weighted mean of what each says, softened by T."""
    found = mean_probability_logits(words, shares, temperature=temperature)
    for i in range(6):
        said = [softmax(words[j, i].numpy() / temperature) for j in range(3)]
        expected = sum(w * p for w, p in zip(shares, said, strict=True))
        np.testing.assert_allclose(softmax(found[i].numpy() / temperature), expected, rtol=1e-12)


def test_mean_logits(words: Tensor) -> None:
    """The mean of centred rows; in probabilities their geometric mean, whatever is added to a row."""
    found = mean_logits(words, SHARES)
    shifted = mean_logits(words + torch.tensor([[[7.0]], [[-900.0]], [[3.0]]]), SHARES)
    for i in range(6):
        rows = [words[j, i].numpy() for j in range(3)]
        expected = sum(w * (r - r.mean()) for w, r in zip(SHARES, rows, strict=True))
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=1e-12, atol=1e-12)
        power = np.prod([softmax(r) ** w for w, r in zip(SHARES, rows, strict=True)], axis=0)
        np.testing.assert_allclose(softmax(found[i].numpy()), power / power.sum(), rtol=1e-12)
    torch.testing.assert_close(shifted, found, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_confidence(words: Tensor, batch: Batch, sharpness: float, *, mixed: bool) -> None:
    """exp(-s * loss on the label), normalised by image; equal where a label is unknown."""
    partners, share = [1, -1, 3, 0, 2, 4], [0.7, 0.5, 0.9, 0.25, 1.0, 0.5]
    if mixed:
        pair = MixedLabels(torch.tensor(partners), torch.tensor(share, dtype=torch.float64))
        batch = batch._replace(mixed=pair)
    found = confidence(words, batch, sharpness=sharpness).numpy()
    for i, label in enumerate(batch.labels.tolist()):
        if label < 0 or (mixed and partners[i] < 0):
            np.testing.assert_allclose(found[:, i], 1 / 3)
            continue
        losses = []
        for j in range(3):
            said = -np.log(softmax(words[j, i].numpy()))
            own = share[i] if mixed else 1.0
            losses.append(own * said[label] + (1 - own) * said[partners[i]])
        expected = np.exp(-sharpness * np.array(losses))
        np.testing.assert_allclose(found[:, i], expected / expected.sum(), rtol=1e-12)


def test_weights_by_image_reach_both_means(words: Tensor, batch: Batch) -> None:
    """A weight for each image combines row by row as a weight for all does."""
    weights = confidence(words, batch, sharpness=1.0)
    probabilities = mean_probability_logits(words, weights, temperature=2.0)
    logits = mean_logits(words, weights)
    for i in range(6):
        row, own = words[:, i : i + 1], tuple(weights[:, i].tolist())
        expected = mean_probability_logits(row, own, temperature=2.0)[0]
        torch.testing.assert_close(probabilities[i], expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(logits[i], mean_logits(row, own)[0], rtol=1e-12, atol=1e-12)


def gradient(student: Tensor, losses: list[Tensor]) -> Tensor:
    (found,) = torch.autograd.grad(torch.stack(losses).sum(), student, retain_graph=True)
    return found


@pytest.mark.parametrize(
    ("direction", "same"), [("forward", True), ("reverse", False), ("jensen-shannon", False)]
)
def test_divergences_and_probabilities(words: Tensor, direction: Direction, *, same: bool) -> None:
    """For the forward KL the weighted divergences pull as their mean does; for the others they do not."""
    student = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)

    def loss(teacher: Tensor) -> Tensor:
        return kd_loss(student, teacher, temperature=3.0, direction=direction)

    apart = gradient(student, [w * loss(word) for w, word in zip(SHARES, words, strict=True)])
    together = gradient(student, [loss(mean_probability_logits(words, SHARES, temperature=3.0))])
    difference = (apart - together).abs().max().item()
    assert difference < 1e-13 if same else difference > 1e-3


def test_one_teacher_twice_is_that_teacher(words: Tensor) -> None:
    """Two equal words make that word: in probabilities to rounding, in logits but for the row's mean."""
    twice = torch.stack([words[0], words[0]])
    found = mean_probability_logits(twice, (0.5, 0.5), temperature=4.0)
    torch.testing.assert_close(
        (found / 4).softmax(1), (words[0] / 4).softmax(1), rtol=1e-12, atol=0
    )
    centred = words[0] - words[0].mean(1, keepdim=True)
    assert torch.equal(mean_logits(twice, (0.5, 0.5)), centred)


def test_one_teacher_is_heard_as_it_is(words: Tensor, batch: Batch) -> None:
    """Nothing is computed with the word of a single teacher, not even its mean taken away."""
    signal = TeacherOutput(words[0], {})
    for temperature in (None, 4.0):
        said = EnsembleTeacher([lambda *_: signal], (1.0,), temperature=temperature)(batch)
        assert said.logits is signal.logits


def test_a_word_is_of_its_image(words: Tensor, batch: Batch) -> None:
    """Parts of a batch in several processes are combined as the whole is, to the bit."""
    halves = [slice(0, 4), slice(4, 6)]

    def say(part: slice) -> Tensor:
        some = batch._replace(labels=batch.labels[part])
        teachers = [lambda *_, w=word: TeacherOutput(w[part].float(), {}) for word in words]
        said = EnsembleTeacher(teachers, SHARES, temperature=2.0, sharpness=1.0)(some).logits
        assert said is not None
        return said

    assert torch.equal(torch.cat([say(part) for part in halves]), say(slice(0, 6)))


def test_extreme_words(batch: Batch) -> None:
    """Half precision's largest logits, and teachers that exclude what others are sure of, stay finite."""
    rows = torch.full((2, 6, 5), -30000.0, dtype=torch.float16)
    rows[0, :, 0], rows[1, :, 1] = 30000.0, 30000.0
    for sharpness in (None, 50.0):
        teachers = [lambda *_, w=word: TeacherOutput(w, {}) for word in rows]
        for temperature in (None, 0.05, 100.0):
            both = EnsembleTeacher(
                teachers, (0.5, 0.5), temperature=temperature, sharpness=sharpness
            )
            logits = both(batch).logits
            assert logits is not None
            assert logits.dtype == torch.float32
            assert logits.isfinite().all()


def test_apart(words: Tensor, batch: Batch) -> None:
    """The first teacher, features included, with the others beside it."""
    signals = [TeacherOutput(word, {"layer": word}) for word in words]
    said = TeacherList([lambda *_, s=signal: s for signal in signals])(batch)
    assert said.logits is signals[0].logits
    assert said.features is signals[0].features
    assert said.others == tuple(signals[1:])


@pytest.mark.parametrize(("checkpoints", "epochs"), [(1, 5), (3, 7), (4, 4), (4, 10)])
def test_in_turn(batch: Batch, checkpoints: int, epochs: int) -> None:
    """Checkpoint floor(e K / E) teaches in epoch e: each of them, in their order, the last one at the end."""
    teachers = [lambda *_, n=n: TeacherOutput(torch.tensor(n), {}) for n in range(checkpoints)]
    course = CheckpointSequence(teachers, epochs=epochs)
    heard = []
    for epoch in range(epochs):
        logits = course(batch, Progress(epoch, 9, 0.0)).logits
        assert logits is not None
        heard.append(int(logits))
    assert heard == [math.floor(epoch * checkpoints / epochs) for epoch in range(epochs)]
    assert sorted(set(heard)) == list(range(checkpoints))
    assert course(batch, START).logits == 0
