"""Every item of a checkpoint is needed: without it a run ends otherwise; one that lacks it is refused."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.checkpoint.format import Checkpoint, load_checkpoint, save_checkpoint
from tutelage.engine.checkpoint.rotation import latest_folder
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train.step import train_step
from tutelage.errors import InputError, Interrupted


class Noisy(nn.Module):
    """Multiplies by numbers from all three generators while it is trained."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return images
        noise = random.random() + np.random.rand() + torch.rand(1)
        return images * (0.5 + noise)


def make(classes: int) -> nn.Module:
    layers = [
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.BatchNorm1d(48),
        Noisy(),
        nn.Linear(48, classes),
    ]
    return nn.Sequential(*layers)


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: it would take longer than the training."""
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


Begun = Callable[[str], tuple[RunContext, Path]]
SETTINGS = {"ema_decay": 0.9, "batch_size": 67, "epochs": 3, "lr": 0.01, "schedule": "cosine"}


@pytest.fixture
def begun(
    small_pack: Pack, single: Callable[..., TrainConfig], place: Callable[..., RunContext]
) -> Begun:
    """A run that was stopped after a step, by its name: its place, and its newest checkpoint."""

    def begin(name: str, after: int = 5) -> tuple[RunContext, Path]:
        stop = StopRequest()
        random.seed(0)
        np.random.seed(0)

        def train_and_ask(state: object, *arguments: object, **options: object) -> object:
            learned = train_step(state, *arguments, **options)  # type: ignore[arg-type]
            if state.step == after:  # type: ignore[attr-defined]
                stop.signal = signal.SIGINT
            return learned

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tutelage.engine.train.loop.train_step", train_and_ask)
            at = place(name)._replace(stop=stop)
            with pytest.raises(Interrupted):
                train_one(single(**SETTINGS), small_pack, at, network=make)
        found = latest_folder(place(name).folder)
        assert found is not None
        return place(name), found

    return begin


def test_what_is_missing_is_named(
    begun: Begun, small_pack: Pack, single: Callable[..., TrainConfig]
) -> None:
    """A checkpoint without one of its tensors or facts is refused, whichever it is; nothing is guessed."""
    at, folder = begun("run")
    whole = load_checkpoint(folder)
    for kind, names in (("tensors", whole.tensors), ("facts", whole.facts)):
        for name in names:
            less = {key: value for key, value in getattr(whole, kind).items() if key != name}
            save_checkpoint(folder, whole._replace(**{kind: less}))
            with pytest.raises(InputError, match="lacks what this run needs") as caught:
                train_one(single(**SETTINGS), small_pack, at, network=make)
            assert name in str(caught.value)


def of(start: str) -> Callable[[Checkpoint, Checkpoint], Checkpoint]:
    """The tensors whose names begin so, as they were after the first step."""

    def reset(now: Checkpoint, first: Checkpoint) -> Checkpoint:
        old = {name: value for name, value in first.tensors.items() if name.startswith(start)}
        return now._replace(tensors={**now.tensors, **old})

    return reset


def fact(name: str) -> Callable[[Checkpoint, Checkpoint], Checkpoint]:
    """One fact, as it was after the first step."""
    return lambda now, first: now._replace(facts={**now.facts, name: first.facts[name]})


def generator(name: str) -> Callable[[Checkpoint, Checkpoint], Checkpoint]:
    """A generator of Python or NumPy, as it was after the first step."""

    def reset(now: Checkpoint, first: Checkpoint) -> Checkpoint:
        mixed = {**now.facts["random"][0], name: first.facts["random"][0][name]}
        return now._replace(facts={**now.facts, "random": [mixed]})

    return reset


def unbeaten(now: Checkpoint, _first: Checkpoint) -> Checkpoint:
    """The best epoch so far with an accuracy that no later one can have; it was a later one."""
    return now._replace(facts={**now.facts, "best": {"epoch": 1, "accuracy": 1.0}})


ITEMS = {
    "weights": of("method/student.network.4"),
    "statistics of BatchNorm": of("method/student.network.2.running"),
    "average": of("average/"),
    "optimizer": of("optimizer/"),
    "random numbers of torch": of("random/0/cpu"),
    "random numbers of Python": generator("python"),
    "random numbers of NumPy": generator("numpy"),
    "epoch": fact("epoch"),
    "batch": fact("batch"),
    "step": fact("step"),
    "sums": fact("sums"),
    "best": unbeaten,
    "journal": fact("journal"),
}


@pytest.fixture
def ended(
    small_pack: Pack, single: Callable[..., TrainConfig]
) -> Callable[[RunContext], dict[str, bytes]]:
    """What a run ends in when it is continued: weights of both kinds, scores, journal."""

    def end(at: RunContext) -> dict[str, bytes]:
        train_one(single(**SETTINGS), small_pack, at, network=make)
        names = ("model/model.safetensors", "scores.json", "journal.jsonl")
        return {name: (at.folder / name).read_bytes() for name in names}

    return end


def test_what_is_reset_is_missed(
    begun: Begun, ended: Callable[[RunContext], dict[str, bytes]]
) -> None:
    """Each item put back to what it was after the first step makes the run end otherwise."""
    whole = ended(begun("whole")[0])
    first = load_checkpoint(begun("first", after=1)[1])
    assert ended(begun("again")[0]) == whole
    silent = []
    for item, reset in ITEMS.items():
        at, folder = begun(item)
        save_checkpoint(folder, reset(load_checkpoint(folder), first))
        if ended(at) == whole:
            silent.append(item)
    assert silent == []
