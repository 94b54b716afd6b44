"""Teachers whose answers cannot teach are refused by name; honest ones, weak or strong, are not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.errors import InputError
from tutelage.teachers.sanity_check import binomial_tail, check_teacher, judge_outputs

Logits = np.ndarray[Any, np.dtype[np.float32]]
Labels = np.ndarray[Any, np.dtype[np.int64]]


def answers(
    count: int, classes: int, accuracy: float, *, seed: int = 0, order: Labels | None = None
) -> tuple[Logits, Labels]:
    """Logits of a teacher that is right so often, and else says any class; its classes in some order."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=count)
    luck = (accuracy - 1 / classes) / (1 - 1 / classes)
    said = np.where(random.random(count) < luck, labels, random.integers(classes, size=count))
    logits = random.normal(size=(count, classes)).astype(np.float32)
    logits[np.arange(count), said if order is None else order[said]] += 20
    return logits, labels


def held(logits: Logits, labels: Labels, **options: Any) -> None:
    names = [f"class{number}" for number in range(logits.shape[1])]
    rows = 100 + np.arange(len(labels))
    defaults: dict[str, Any] = {"classes": names, "where": "teacher-run", "trust": False}
    check_teacher(logits, labels, rows=rows, **{**defaults, **options})


@pytest.mark.parametrize(
    ("count", "classes", "accuracy"),
    [
        (512, 10, 0.2),
        (512, 2, 0.6),
        (24, 2, 0.9),
        (512, 1000, 0.7),
        (512, 1000, 0.05),
        (4096, 100, 0.03),
        (40, 10, 0.5),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_honest(count: int, classes: int, accuracy: float, seed: int) -> None:
    """Teachers that are better than chance teach, the weak ones, too."""
    held(*answers(count, classes, accuracy, seed=seed))


@pytest.mark.parametrize("seed", range(20))
def test_hard_to_tell_apart(seed: int) -> None:
    """Two classes that a good teacher takes for each other half of the time are in no other order."""
    logits, labels = answers(512, 10, 0.9, seed=seed)
    random = np.random.default_rng(seed)
    mixed = (labels < 2) & (random.random(512) < 0.5)
    logits[mixed, :2] = logits[mixed, 1::-1]
    held(logits, labels)


@pytest.mark.parametrize(
    ("count", "classes", "accuracy"),
    [
        (512, 10, 0.9),
        (512, 10, 0.3),
        (512, 2, 0.8),
        (40, 2, 0.95),
        (512, 1000, 0.7),
        (4096, 1000, 0.3),
    ],
)
def test_permuted(count: int, classes: int, accuracy: float) -> None:
    """Classes in another order are found, and the first of them named."""
    order = np.roll(np.arange(classes), 1)
    logits, labels = answers(count, classes, accuracy, order=order)
    with pytest.raises(InputError, match="in another order") as caught:
        held(logits, labels)
    pairs = str(caught.value.found).partition("read so: ")[2].partition(" and ")[0].split(", ")
    named = {f"class{label} is called class{name}" for label, name in enumerate(order)}
    assert pairs
    assert sum(pair in named for pair in pairs) > len(pairs) / 2
    assert "--skip-teacher-check" in str(caught.value)
    assert caught.value.where == "teacher-run"
    held(logits, labels, trust=True)


def test_two_of_ten() -> None:
    """Two classes that changed places are enough, though eight of ten answers are right."""
    order = np.arange(10)
    order[[3, 7]] = 7, 3
    why = _refusal(*answers(512, 10, 0.95, order=order))
    assert "in another order" in why
    assert "class3 is called class7" in why
    assert "class7 is called class3" in why
    assert " more" not in why


@pytest.mark.parametrize(("count", "classes"), [(512, 10), (512, 2), (200, 2), (512, 1000)])
def test_chance(count: int, classes: int) -> None:
    """Answers that have nothing to do with the labels are luck, whatever the number of classes."""
    refused = [_refusal(*answers(count, classes, 1 / classes, seed=seed)) for seed in range(20)]
    assert sum("no better than chance" in why for why in refused) >= 19
    logits, labels = answers(count, classes, 1 / classes)
    assert f"of {count} images" in _refusal(logits, labels)
    assert _refusal(logits, labels, trust=True) == _refusal(logits, labels, early=True) == ""


def _refusal(logits: Logits, labels: Labels, **options: Any) -> str:
    try:
        held(logits, labels, **options)
    except InputError as error:
        return str(error)
    return ""


def test_most_common_class() -> None:
    """Always to say the most common class is no knowledge, however often it is right."""
    random = np.random.default_rng(0)
    labels = (random.random(512) < 0.1).astype(np.int64)
    logits = random.normal(size=(512, 2)).astype(np.float32) + np.array([9, 0], np.float32)
    with pytest.raises(InputError, match=r"no better than chance[\s\S]*accuracy 9\d\.\d %"):
        held(logits, labels)


@pytest.mark.parametrize("trust", [False, True])
def test_never(trust: bool) -> None:
    """Logits that are not finite, or all alike, are refused whoever is trusted."""
    logits, labels = answers(64, 3, 0.9)
    with pytest.raises(InputError, match="same output for every image"):
        held(np.tile(logits[:1], (64, 1)), labels, trust=trust)
    for bad in (np.nan, np.inf):
        logits[5, 1] = bad
        with pytest.raises(InputError, match=r"not finite[\s\S]*image 105"):
            held(logits, labels, trust=trust)


def test_too_few() -> None:
    """Where even a faultless teacher could be lucky, or nothing is labelled, nobody is refused."""
    logits, labels = answers(4, 2, 0.5)
    held(logits, labels)
    held(logits, np.full(4, -1))
    assert judge_outputs(np.empty(0, np.int64), np.empty(0, np.int64), 3) is None
    assert (
        judge_outputs(np.zeros(50, np.int64), np.zeros(50, np.int64), 3) is None
    )  # of one class alone


def test_unlabelled_images_do_not_count() -> None:
    """A teacher is judged by the images whose label is known."""
    logits, labels = answers(600, 10, 0.9)
    labels[::2] = -1
    held(logits, labels)


def test_tail() -> None:
    """The tail of the binomial distribution, term by term."""
    from math import comb

    for hits, count, chance in ((3, 10, 0.1), (7, 10, 0.5), (1, 40, 0.02)):
        each = [comb(count, k) * chance**k * (1 - chance) ** (count - k) for k in range(count + 1)]
        assert binomial_tail(hits, count, chance) == pytest.approx(sum(each[hits:]), rel=1e-9)
    assert binomial_tail(1, 3, 0.0) == 0.0


class Colours(nn.Module):
    """A linear network of a few pixels: trained in a moment."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(8)
        self.head = nn.Linear(192, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.pool(images).flatten(1))
        return found


@pytest.fixture
def trained(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A small teacher that has learned something."""
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
    settings = single(epochs=8, lr=0.01, role="teacher")
    return train_one(settings, small_pack, place("teacher"), network=Colours)


@pytest.mark.parametrize("ask", ["cached", "live"])
def test_before_training(
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
    trained: Path,
    ask: Any,
) -> None:
    """A run is refused before its first step, and before the whole pass of the teacher."""
    settings = single(
        role="student",
        epochs=1,
        teacher=(str(trained),),
        teacher_outputs=ask,
        skip_teacher_check=False,
    )
    train_one(settings, small_pack, place("student"), teacher_networks=[Colours])

    def turned(classes: int) -> nn.Module:
        network = Colours(classes)
        network.register_load_state_dict_post_hook(_turn)
        return network

    with pytest.raises(InputError, match="in another order") as caught:
        train_one(settings, small_pack, place("refused"), teacher_networks=[turned])
    assert caught.value.where == str(trained)
    caches = list((place("refused").caches).glob("*/index.bin"))
    assert [path.stat().st_size > 0 for path in caches].count(True) == (ask == "cached")
    assert not (place("refused").folder / "journal.jsonl").exists()
    trusting = single(
        role="student",
        epochs=1,
        teacher=(str(trained),),
        teacher_outputs=ask,
        skip_teacher_check=True,
    )
    train_one(trusting, small_pack, place("trusting"), teacher_networks=[turned])


def _turn(network: nn.Module, _keys: object) -> None:
    assert isinstance(network, Colours)
    for tensor in (network.head.weight, network.head.bias):
        tensor.data = tensor.data.roll(1, 0)
