"""A run's teacher: asked ahead where it can be, once for all students, with what the terms want."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tutelage.config.job import TrainConfig
from tutelage.config.training import DeviceConfig
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.precompute import PreparedTeacher, prepare_teacher
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import Interrupted
from tutelage.losses.term import Needs
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.teachers.cache.table import open_cache_table
from tutelage.teachers.load import open_teacher

CPU = torch.device("cpu")
LOGITS = Needs(teacher_logits=True)


@pytest.fixture
def opened(
    small_pack: Pack, teacher_folder: Path, single: Callable[..., TrainConfig], tmp_path: Path
) -> Callable[..., PreparedTeacher]:
    """Open the word of a teacher for a student with some settings."""

    def make(
        needs: Needs = LOGITS, stop: StopRequest | None = None, **changes: object
    ) -> PreparedTeacher:
        settings = single(teacher=(str(teacher_folder),), epochs=3, **changes)
        runtime = resolve_runtime(DeviceConfig(device="cpu", precision=settings.precision))
        stop = stop or StopRequest()
        places = (tmp_path / "run", tmp_path / "kept")
        context = RunContext("run", *places, Console(quiet=True), stop)
        return prepare_teacher(
            open_teacher(teacher_folder, small_pack.classes),
            settings,
            small_pack,
            needs,
            context,
            runtime,
            check=lambda _logits, _rows: None,
        )

    return make


def tables(folder: Path) -> dict[str, int]:
    """How many answers are kept, by the cache's name."""
    return {p.parent.name: len(open_cache_table(p.parent)) for p in folder.glob("*/manifest.json")}


def test_asked_once_for_all_students(
    opened: Callable[..., PreparedTeacher], tmp_path: Path
) -> None:
    """Temperature, rate, epochs, order, alpha: no second student asks again; the first does."""
    first = opened()
    assert first.mode is not None
    assert (first.mode.name, first.mode.number) == ("views", 1)
    assert first.seconds is not None
    kept = tables(tmp_path / "kept")
    for changes in ({"seed": 5}, {"alpha": 0.2}, {"lr": 0.5, "batch_size": 7}, {"view_seed": 9}):
        assert opened(**changes).seconds is None, changes
    assert tables(tmp_path / "kept") == kept


def test_other_views_are_other_answers(
    opened: Callable[..., PreparedTeacher], tmp_path: Path
) -> None:
    """What shapes a view makes a cache of its own; how many of them are shown does not."""
    opened()
    cases = ({"flip": True}, {"flip": True, "view_seed": 1}, {"translate": 2}, {"mixup": 0.5})
    for number, changes in enumerate(cases, 2):
        assert opened(**changes).seconds is not None
        assert len(tables(tmp_path / "kept")) == number
    assert opened(flip=True, num_views=2).seconds is None
    assert opened(precision="bf16").seconds is not None


def test_vectors_are_kept(
    opened: Callable[..., PreparedTeacher], small_pack: Pack, teacher_folder: Path
) -> None:
    """A term that wants vectors gets those of the network, from the cache, for any view."""
    needs = Needs(teacher_logits=True, teacher_vectors=("global_pool", "fc.input"))
    word = opened(needs, flip=True)
    assert word.mode is not None
    assert word.mode.name == "schedule"
    again = opened(needs, flip=True)
    assert again.seconds is None
    classifier = open_teacher(teacher_folder, small_pack.classes).classifier.eval()
    network = FeatureExtractor(classifier, ["global_pool", "fc.input"])
    settings = dataclasses.replace(TrainConfig(), flip=True)
    loader = training_loader(small_pack, batch_size=40, views=settings, seed=3, device=CPU)
    for epoch in range(3):
        batch = next(loader.epoch(epoch))
        with torch.no_grad():
            expected = network(batch.images)
        found = again.teacher(batch)
        assert found.logits is not None
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-3, atol=2e-3)
        for point in ("global_pool", "fc.input"):
            torch.testing.assert_close(
                found.features[point], expected.features[point], rtol=2e-3, atol=2e-3
            )


def test_maps_are_kept(
    opened: Callable[..., PreparedTeacher], small_pack: Pack, tmp_path: Path
) -> None:
    """Features of any point are kept beside the logits, in their shapes, for the next student."""
    needs = Needs(
        teacher_logits=True, teacher_points=("layer2", "layer3.0"), teacher_vectors=("fc.input",)
    )
    live, first, again = opened(needs, teacher_outputs="live"), opened(needs), opened(needs)
    assert first.mode is not None
    assert first.mode.name == "views"
    assert first.seconds is not None
    assert again.seconds is None
    assert list(tables(tmp_path / "kept").values()) == [len(small_pack.rows("train"))]
    loader = training_loader(small_pack, batch_size=16, views=TrainConfig(), seed=3, device=CPU)
    for batch in loader.epoch(0):
        expected, found = live.teacher(batch), again.teacher(batch)
        assert set(found.features) == {"layer2", "layer3.0", "fc.input"}
        assert found.features["layer2"].ndim == 4
        for point, features in expected.features.items():
            assert found.features[point].dtype == torch.float32
            torch.testing.assert_close(found.features[point], features, rtol=2e-3, atol=2e-3)


def test_maps_that_are_too_large_are_asked_live(
    opened: Callable[..., PreparedTeacher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the teacher answers live, and says why."""
    monkeypatch.setattr("tutelage.teachers.cache.mode.MOST_BYTES", 200 * 1000)
    assert opened().mode == opened(teacher_outputs="cached").mode
    word = opened(Needs(teacher_logits=True, teacher_points=("layer2",)))
    assert word.mode is not None
    assert (word.mode.name, word.mode.number) == ("live", 0)
    assert "GB" in word.mode.why


def test_live_and_ahead_say_the_same(
    opened: Callable[..., PreparedTeacher], small_pack: Pack
) -> None:
    """The folded network, asked ahead or live, about the same views."""
    ahead, live = opened(crop_scale=0.5), opened(crop_scale=0.5, teacher_outputs="live")
    views = dataclasses.replace(TrainConfig(), crop_scale=0.5)
    for batch in training_loader(small_pack, batch_size=50, views=views, seed=0, device=CPU).epoch(
        2
    ):
        one, other = ahead.teacher(batch).logits, live.teacher(batch).logits
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)


def test_stopped(opened: Callable[..., PreparedTeacher], tmp_path: Path, small_pack: Pack) -> None:
    """Asked to stop, the pass ends after a whole part; the next one goes on from there."""
    stop = StopRequest()
    stop.signal = 2
    with pytest.raises(Interrupted, match="those so far are kept"):
        opened(flip=True, stop=stop)
    (kept,) = tables(tmp_path / "kept").values()
    images = len(np.unique(small_pack.keys[small_pack.rows("train")]))
    assert kept == images
    opened(flip=True)
    assert list(tables(tmp_path / "kept").values()) == [3 * images]
