"""Runs with steps that are left out: what is told of them, and when they are too many."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from support.nonfinite_network import layers
from support.stop_requests import AtSteps
from tutelage.config.job import TrainConfig
from tutelage.data.decode.prepare import pixel_key
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import DivergedError, Interrupted

CPU = torch.device("cpu")


@pytest.fixture
def spoil(small_pack: Pack) -> Callable[..., Pack]:
    """The small pack with an image of one colour in some batches of the first epoch."""

    def spoil(settings: TrainConfig, *steps: int) -> Pack:
        loader = training_loader(
            small_pack, batch_size=settings.batch_size, views=settings, seed=0, device=CPU
        )
        batches = list(loader.epoch(0))
        images, keys = np.array(small_pack.images), np.array(small_pack.keys)
        for step in steps:
            row = int(batches[step].ids[1])
            images[row] = 7
            keys[row] = pixel_key(images[row])
        return dataclasses.replace(small_pack, images=images, keys=keys)

    return spoil


def make(classes: int) -> nn.Module:
    return layers(classes, size=32)


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: it would take longer than the training."""
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


def test_told(
    single: Callable[..., TrainConfig], place: Callable[..., RunContext], spoil: Callable[..., Pack]
) -> None:
    """Each step left out is in the journal with its images, and counts in no mean; the run ends well."""
    settings = single(epochs=1)
    folder = train_one(settings, spoil(settings, 1), place(), network=make)
    events = read_events(folder / "journal.jsonl")
    assert [event["event"] for event in events] == ["begin", "masked", "epoch", "end"]
    loader = training_loader(spoil(settings, 1), batch_size=50, views=settings, seed=0, device=CPU)
    batch_images = list(loader.epoch(0))[1].ids.tolist()
    assert events[1] == {"event": "masked", "epoch": 1, "step": 1, "images": batch_images}
    assert events[2]["train"]["images"] == 150


def test_five_in_a_row(
    single: Callable[..., TrainConfig], place: Callable[..., RunContext], spoil: Callable[..., Pack]
) -> None:
    """The fifth stops the run with each batch named by image and file; four do not."""
    settings = single(epochs=1, batch_size=25)
    train_one(settings, spoil(settings, 2, 3, 4, 5), place("four"), network=make)
    pack = spoil(settings, 2, 3, 4, 5, 6)
    with pytest.raises(DivergedError, match="5 steps in a row, up to step 6") as caught:
        train_one(settings, pack, place("five"), network=make)
    loader = training_loader(pack, batch_size=25, views=settings, seed=0, device=CPU)
    files = pack.files()
    for batch in list(loader.epoch(0))[2:7]:
        first = int(batch.ids[0])
        assert f"{first} ({files[first]})" in str(caught.value.found)
    assert "no checkpoint was saved before" in str(caught.value)
    assert caught.value.exit_code == 4


def test_whole_epoch(
    single: Callable[..., TrainConfig], place: Callable[..., RunContext], spoil: Callable[..., Pack]
) -> None:
    """An epoch in which nothing was learned stops the run, however few its steps."""
    settings = single(batch_size=50)
    with pytest.raises(DivergedError, match="all steps of epoch 1"):
        train_one(settings, spoil(settings, 0, 1, 2, 3), place(), network=make)


def test_resumed(
    single: Callable[..., TrainConfig], place: Callable[..., RunContext], spoil: Callable[..., Pack]
) -> None:
    """Stopped after every step, a run leaves out the same steps and stops at the same fifth one."""
    settings = single(epochs=1, batch_size=25)
    for name, bad in (("well", (1, 2, 3)), ("ill", (1, 2, 3, 4, 5))):
        pack = spoil(settings, *bad)
        said = []
        for stop in (StopRequest(), AtSteps()):
            at = place(f"{name} {stop.signal}", stop)
            said.append(_to_the_end(settings, pack, at))
        assert said[0] == said[1]
        assert ("5 steps in a row" in said[0]) == (name == "ill")


def _to_the_end(settings: TrainConfig, pack: Pack, at: RunContext) -> str:
    """The journal's events, or of a run that stopped itself what was found."""
    for _ in range(20):
        try:
            train_one(settings, pack, at, network=make)
            return str(read_events(at.folder / "journal.jsonl"))
        except Interrupted:
            pass
        except DivergedError as error:
            return f"{error.what} {error.found}"
    raise AssertionError("it never ended")


def test_last_finite_checkpoint(
    single: Callable[..., TrainConfig], place: Callable[..., RunContext], spoil: Callable[..., Pack]
) -> None:
    """The checkpoint from before the first bad step is named, and no later one replaces it by worse."""
    settings = single(epochs=1, batch_size=25)
    pack = spoil(settings, 1, 2, 3, 4, 5)
    at = place("run", AtSteps())
    with pytest.raises(Interrupted):
        train_one(settings, pack, at, network=make)
    with pytest.raises(DivergedError) as caught:
        train_one(settings, pack, place("run"), network=make)
    assert f"the last finite checkpoint is {at.folder / 'checkpoints' / 'step-00000001'}" in str(
        caught.value
    )


def test_no_checkpoint_of_lost_weights(
    single: Callable[..., TrainConfig], place: Callable[..., RunContext], small_pack: Pack
) -> None:
    """A rate that breaks the weights in one finite step stops the run before they are saved."""
    settings = single(epochs=1, lr=3e38, optimizer="sgd", weight_decay=1e4)
    with pytest.raises(DivergedError, match="a weight is no longer finite"):
        train_one(settings, small_pack, place("run", AtSteps()), network=make)
    assert not (place("run").folder / "checkpoints").exists()
