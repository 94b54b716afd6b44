"""Runs under several teachers and under a course: what they reduce to, who is asked, what is kept."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.stop_requests import AtSteps
from tutelage.config.job import TrainConfig
from tutelage.config.methods import MethodOptions, MultiTeacherConfig, RCOConfig
from tutelage.config.model import ModelConfig
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.build import build_run
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.run_folder import run_fingerprint, run_inputs
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.teachers import open_teachers
from tutelage.errors import InputError, Interrupted, UsageError
from tutelage.models.build import BuiltModel
from tutelage.models.model_folder import load_model, save_model
from tutelage.models.weights import fingerprint_of
from tutelage.storage.atomic import read_json
from tutelage.teachers.cache.table import open_cache_table
from tutelage.types import START, Progress

CPU = torch.device("cpu")
RESULT = ("model/model.safetensors", "predictions/val.safetensors", "scores.json")


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


@pytest.fixture(scope="module")
def teachers(
    small_pack: Pack,
    make_network: Callable[..., BuiltModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, ...]:
    """Three model folders: unlike networks, input sizes, means and deviations."""
    root, folders = tmp_path_factory.mktemp("teachers"), []
    kinds = (("test_resnet", None), ("cifar_resnet8", 40), ("cifar_resnet14", 48))
    for number, (name, size) in enumerate(kinds):
        classifier = make_network(name, seed=number, input_size=size).classifier.eval()
        classifier.preprocess.mean += 0.1 * number
        classifier.preprocess.std *= 1 + 0.2 * number
        folder = root / f"{number}" / "model"
        settings = ModelConfig(model=name, input_size=size)
        facts: dict[str, Any] = {"classes": small_pack.classes, "background": "white", "card": ""}
        stored = small_pack.image_size
        save_model(folder, classifier, settings=settings, stored_size=stored, **facts)
        folders.append(str(folder))
    return tuple(folders)


TEACHER = TrainConfig(
    model="test_resnet", weights="none", epochs=3, batch_size=100, device="cpu", precision="fp32",
    role="teacher", flip=True,
)  # fmt: skip


def several(**changes: Any) -> dict[str, Any]:
    return {
        "method": "multi-teacher",
        "methods": MethodOptions(multi_teacher=MultiTeacherConfig(**changes)),
    }


def course(checkpoints: int) -> dict[str, Any]:
    return {"method": "rco", "methods": MethodOptions(rco=RCOConfig(checkpoints=checkpoints))}


def result(folder: Path) -> dict[str, bytes]:
    """What a run leaves of its network, and every epoch of its journal."""
    lines = (folder / "journal.jsonl").read_bytes().splitlines()
    epochs = b"\n".join(line for line in lines if b'"event": "epoch"' in line)
    assert epochs
    return {"epochs": epochs, **{name: (folder / name).read_bytes() for name in RESULT}}


WAYS = (
    {},
    {"combine": "logits", "weigh": "confidence"},
    {"combine": "divergences", "weigh": "validation"},
)


def test_one_of_several_is_offline(
    small_pack: Pack,
    teachers: tuple[str, ...],
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
) -> None:
    """Several teachers of whom there is one teach as it does alone, to the byte, however combined."""
    settings = single(role="student", teacher=teachers[1:2], epochs=1, flip=True)
    train_one(settings, small_pack, place("offline"))
    for number, changes in enumerate(WAYS):
        other = dataclasses.replace(settings, **several(**changes))
        train_one(other, small_pack, place(f"several-{number}"))
        assert result(place(f"several-{number}").folder) == result(place("offline").folder)


def test_words_of_several(
    small_pack: Pack,
    teachers: tuple[str, ...],
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
) -> None:
    """Each is asked about its own view of the images, in a table of its own; the journal names them."""
    before = [fingerprint_of(load_model(Path(folder)).classifier.network) for folder in teachers]
    weights = (1.0, 2.0, 5.0)
    settings = single(role="student", teacher=teachers, crop_scale=0.5, **several(weights=weights))
    settings = dataclasses.replace(settings, num_views=1)
    folder = train_one(settings, small_pack, place())
    after = [fingerprint_of(load_model(Path(folder)).classifier.network) for folder in teachers]
    assert after == before
    caches = [path.parent for path in place().caches.glob("*/manifest.json")]
    assert len(caches) == 3
    assert {read_json(c / "manifest.json")["input_size"] for c in caches} == {32, 40, 48}
    assert len({len(open_cache_table(cache)) for cache in caches}) == 1
    begin = read_events(folder / "journal.jsonl")[0]
    assert [t["share"] for t in begin["teachers"]] == [0.125, 0.25, 0.625]
    assert [t["weights"] for t in begin["teachers"]] == before
    # The word of the run, by the networks themselves.
    networks = open_teachers(settings, small_pack.classes).networks
    loader = training_loader(small_pack, batch_size=40, views=settings, seed=0, device=CPU)
    batch = next(loader.epoch())
    with torch.no_grad():
        said = [one.eval()(batch.images).logits.double() for one in networks]
    mean = sum(w / 8 * (z / 4).softmax(1) for w, z in zip(weights, said, strict=True))
    assert isinstance(mean, torch.Tensor)
    word = _word(settings, small_pack, place())
    logits = word(batch, START).logits
    np.testing.assert_allclose((logits.double() / 4).softmax(1), mean, rtol=0, atol=1e-4)


def _word(settings: TrainConfig, pack: Pack, place: RunContext) -> Any:
    """The word that a run of these settings hears."""
    teachers = open_teachers(settings, pack.classes)
    model = build_run(settings, pack, teachers, device=CPU)
    runtime = resolve_runtime(settings)
    return teachers.prepare(pack, model.method, place, runtime, shares=model.shares).teacher


def test_weights_by_validation(
    small_pack: Pack, teachers: tuple[str, ...], single: Callable[..., TrainConfig]
) -> None:
    """A teacher counts exp(-s * mean loss on the labelled validation images), by a loop over them."""
    settings = single(teacher=teachers, **several(weigh="validation", sharpness=3.0))
    opened = open_teachers(settings, small_pack.classes)
    networks = opened.networks
    losses = []
    rows = small_pack.rows("val")
    for network in networks:
        total = 0.0
        for row in rows:
            image = torch.tensor(np.array(small_pack.images[row : row + 1])).permute(0, 3, 1, 2)
            with torch.no_grad():
                logits = network.eval()(image).logits.double()
            total -= logits.log_softmax(1)[0, small_pack.labels[row]].item()
        losses.append(total / len(rows))
    expected = np.exp(-3.0 * np.array(losses))
    found = opened.shares(small_pack, CPU)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-4)
    assert max(found) - min(found) > 0.01


def test_every_teacher_is_part_of_the_run(
    small_pack: Pack, teachers: tuple[str, ...], single: Callable[..., TrainConfig]
) -> None:
    """The same teachers in the same order are the same run; another one, or another order, is another."""

    def name(chosen: tuple[str, ...]) -> str:
        settings = single(role="student", teacher=chosen, **several())
        networks = open_teachers(settings, small_pack.classes).networks
        return run_fingerprint(run_inputs(settings, small_pack, networks, None))

    assert name(teachers[:2]) == name(teachers[:2])
    others = [teachers[:2], teachers[1::-1], teachers[::2], teachers, teachers[:1]]
    assert len({name(chosen) for chosen in others}) == len(others)


@pytest.fixture(scope="module")
def kept(small_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of three epochs that keeps a network after each."""
    root = tmp_path_factory.mktemp("kept")
    place = RunContext("run", root / "teacher", root / "cache", Console(quiet=True), StopRequest())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        return train_one(dataclasses.replace(TEACHER, keep_checkpoints=3), small_pack, place)


def test_kept_networks(kept: Path, small_pack: Pack, place: Callable[..., RunContext]) -> None:
    """Each is the network of a run that ended there; keeping changes nothing of the run, nor does a stop."""
    folders = sorted(kept.glob("checkpoints-kept/*/model"))
    assert [int(folder.parent.name) for folder in folders] == [1, 2, 3]
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert len(set(weights)) == 3
    for epochs in (1, 3):
        shorter = dataclasses.replace(TEACHER, epochs=epochs)
        run = train_one(shorter, small_pack, place(f"plain-{epochs}"))
        assert (run / "model" / "model.safetensors").read_bytes() == weights[epochs - 1]
    assert result(place("plain-3").folder) == result(kept)
    stopped = place("stopped", AtSteps())
    for _ in range(8):
        try:
            train_one(dataclasses.replace(TEACHER, keep_checkpoints=3), small_pack, stopped)
            break
        except Interrupted:
            pass
    again = sorted(stopped.folder.glob("checkpoints-kept/*/model"))
    assert [(folder / "model.safetensors").read_bytes() for folder in again] == weights


def test_a_course_of_one_is_offline(
    kept: Path,
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
) -> None:
    """A course that has only the finished checkpoint teaches as the finished teacher does, to the byte."""
    last = kept / "checkpoints-kept" / "0003" / "model"
    settings = single(role="student", teacher=(str(kept / "model"),), flip=True)
    train_one(settings, small_pack, place("offline"))
    own = dataclasses.replace(settings, teacher=(str(last),), **course(1))
    train_one(own, small_pack, place("rco"))
    assert result(place("rco").folder) == result(place("offline").folder)


def test_a_course_turns_from_checkpoint_to_checkpoint(
    kept: Path,
    small_pack: Pack,
    single: Callable[..., TrainConfig],
    place: Callable[..., RunContext],
) -> None:
    """In each third of its epochs the student hears that third's checkpoint, asked until its turn ends."""
    settings = single(role="student", epochs=6, teacher=(str(kept),), flip=True, **course(3))
    word = _word(settings, small_pack, place())
    networks = open_teachers(settings, small_pack.classes).networks
    loader = training_loader(small_pack, batch_size=40, views=settings, seed=0, device=CPU)
    for epoch in range(6):
        batch = next(loader.epoch(epoch))
        logits = word(batch, Progress(epoch, 5 * epoch, epoch / 6)).logits
        with torch.no_grad():
            expected = networks[epoch // 2].eval()(batch.images).logits
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=2e-3)
    views = sorted(
        int(open_cache_table(path.parent).index["view"].max())
        for path in place().caches.glob("*/index.bin")
    )
    assert views == [1, 3, 5]


def test_a_course_wants_its_checkpoints(
    kept: Path, teacher_folder: Path, small_pack: Pack, single: Callable[..., TrainConfig]
) -> None:
    """Another number of checkpoints than the teacher has kept, or none at all, is refused."""
    settings = single(role="student", teacher=(str(kept),), **course(2))
    with pytest.raises(UsageError, match="another number of checkpoints"):
        open_teachers(settings, small_pack.classes)
    settings = dataclasses.replace(settings, teacher=(str(teacher_folder),))
    with pytest.raises(InputError, match="kept no checkpoints"):
        open_teachers(settings, small_pack.classes)


def test_several_teachers_want_a_method(
    small_pack: Pack, teachers: tuple[str, ...], single: Callable[..., TrainConfig]
) -> None:
    """Two teachers are never silently one."""
    with pytest.raises(UsageError, match="has one teacher"):
        open_teachers(single(role="student", teacher=teachers[:2]), small_pack.classes)
