"""A specialist's own run: its first weights, resumed, by two processes, and what is refused."""

import contextlib
import dataclasses
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from support.child import environment
from support.planted_classes import JOB, PLANTED, TEACHER, place, scores, special
from support.reseal import reseal
from support.specialists_by_ranks import small_job
from support.stop_requests import AtSteps
from tutelage.commands import train as verbs
from tutelage.config.methods import MethodOptions, SpecialistsConfig
from tutelage.config.teacher import SpecialistConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.run import train_one
from tutelage.engine.teachers import open_teachers
from tutelage.errors import InputError, Interrupted, UsageError
from tutelage.methods.specs.specialists import find_groups
from tutelage.models.weights import read_weights


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---------------------------------------------------------------------- a specialist's own training


def test_from_the_generalists_weights(council: Path, planted: Pack, tmp_path: Path) -> None:
    """Before its first epoch it is the generalist but for the classifier, whose last class is the dustbin."""
    settings = special(model="cifar_resnet8", epochs=0, teacher=(str(council / "teacher"),))
    run = train_one(settings, planted, place(tmp_path / "run"))
    own, whole = (
        read_weights(f / "model" / "model.safetensors") for f in (run, council / "teacher")
    )
    assert own.keys() == whole.keys()
    unlike = {name for name in own if own[name].shape != whole[name].shape}
    assert unlike == {"fc.weight", "fc.bias"}
    assert all(torch.equal(own[name], whole[name]) for name in own.keys() - unlike)
    assert own["fc.bias"].shape == (4,)


def test_another_generalist_or_group_is_another_run(
    council: Path, planted: Pack, tmp_path: Path
) -> None:
    """The fingerprint follows the weights it begins with and its classes, not where they lie."""
    moved = Path(shutil.copytree(council / "teacher", tmp_path / "moved"))
    usual = {"model": "cifar_resnet8", "epochs": 0, "teacher": (str(council / "teacher"),)}
    changes: list[dict[str, Any]] = [
        {},
        {"teacher": (str(moved),)},
        {"teacher": (str(council / "control-0"),)},
        {"specialist": SpecialistConfig(classes=PLANTED[1])},
    ]
    found = []
    for number, change in enumerate(changes):
        run = train_one(special(**usual | change), planted, place(tmp_path / f"{number}"))
        found.append(json.loads((run / "run.json").read_text())["fingerprint"])
    assert found[0] == found[1]
    assert len({*found}) == 3


def test_stopped_at_every_step(planted: Pack, tmp_path: Path) -> None:
    """Stopped at each of its steps and continued, a specialist ends in the same bytes."""
    train_one(special(), planted, place(tmp_path / "whole"))
    stopped = place(tmp_path / "stopped", AtSteps())
    times = 0
    while not (stopped.folder / "scores.json").exists():
        times += 1
        with contextlib.suppress(Interrupted):
            train_one(special(), planted, stopped)
    assert times > 10  # two epochs of 180 own and 180 other images, 8 steps each
    for name in ("model/model.safetensors", "journal.jsonl", "scores.json"):
        whole, own = (tmp_path / run / name for run in ("whole", "stopped"))
        assert whole.read_bytes() == own.read_bytes()
    event = json.loads((tmp_path / "whole" / "journal.jsonl").read_text().splitlines()[1])
    assert event["train"]["images"] == 360


# ---------------------------------------------------------------------- by two processes


@pytest.fixture(scope="module")
def by_one_and_two(planted: Pack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A whole small job by one process, and by two."""
    root = tmp_path_factory.mktemp("processes")
    module = "support.specialists_by_ranks"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    usual = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(planted.folder), str(root / "two" / "job")],
            env=environment(**usual, RANK=str(rank), LOCAL_RANK=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        small_job(planted.folder, root / "one" / "job")
    said = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(said)
    return root / "one" / "job", root / "two" / "job"


def test_two_processes(by_one_and_two: tuple[Path, Path]) -> None:
    """The same groups, the same losses, and the same answers of every network, the student's too."""
    one, two = by_one_and_two
    runs = sorted(path.parent.name for path in one.glob("*/run.json"))
    assert "specialist-1" in runs
    assert runs == sorted(path.parent.name for path in two.glob("*/run.json"))
    for run in runs:
        classes = [
            [c["class"] for c in scores(job / run)["last"]["val"]["per_class"]]
            for job in by_one_and_two
        ]
        assert classes[0] == classes[1]
        mine, theirs = (epoch(job / run) for job in by_one_and_two)
        assert mine["images"] == theirs["images"]
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=2e-3)
        answers = [
            load_file(job / run / "predictions" / "val.safetensors")["logits"]
            for job in by_one_and_two
        ]
        spread = float(answers[0].std())
        np.testing.assert_allclose(answers[1], answers[0], rtol=0, atol=0.05 * spread)
    told = [scores(job / "student-0")["council"]["test"] for job in by_one_and_two]
    assert told[0]["together"]["accuracy"] == pytest.approx(
        told[1]["together"]["accuracy"], abs=0.02
    )


def epoch(run: Path) -> dict[str, Any]:
    """The one epoch of a run's training."""
    (found,) = (
        event
        for event in map(json.loads, (run / "journal.jsonl").read_text().splitlines())
        if event["event"] == "epoch"
    )
    return dict(found["train"])


# ---------------------------------------------------------------------- what is refused


def test_as_many_groups_as_classes(planted: Pack, tmp_path: Path) -> None:
    """Refused before anything is trained; so are specialists that would not be trained at all."""
    job = dataclasses.replace(JOB, methods=MethodOptions(specialists=SpecialistsConfig(groups=8)))
    with pytest.raises(UsageError, match="as many groups as classes") as caught:
        verbs.run(planted.folder, job, out=tmp_path / "job", quiet=True)
    assert caught.value.expected == "at least 2 and at most 7"
    assert not (tmp_path / "job" / "teacher").exists()
    job = dataclasses.replace(JOB, teacher=dataclasses.replace(TEACHER, epochs=0))
    with pytest.raises(UsageError, match="specialists without training"):
        verbs.run(planted.folder, job, out=tmp_path / "job", quiet=True)


def test_nothing_is_mixed_up(council: Path, tmp_path: Path) -> None:
    """A generalist to whom all classes are alike gives no group, and the message says what to do."""
    run = Path(shutil.copytree(council / "teacher", tmp_path / "teacher"))
    path = run / "predictions" / "val.safetensors"
    kept = load_file(path)
    save_file({**kept, "logits": np.zeros_like(kept["logits"])}, path)
    reseal(run)
    with pytest.raises(InputError, match="no group of classes") as caught:
        find_groups(run, 3)
    assert "--teacher.epochs" in str(caught.value.fix)


def test_no_specialist_by_accident(council: Path, planted: Pack, tmp_path: Path) -> None:
    """Without classes of its own, with classes of another role, with mixtures, or as somebody's teacher."""
    wrong = {
        "without classes of its own": special(specialist=SpecialistConfig(number=1, clusters=3)),
        "the run is none": special(role="control"),
        "made of two images": special(mixup=0.2),
        "takes several runs": special(
            role="student", specialist=SpecialistConfig(), method="specialists"
        ),
    }
    for told, settings in wrong.items():
        with pytest.raises(UsageError, match=told):
            verbs.train(planted.folder, settings, out=tmp_path / "run", quiet=True)
    settings = special(role="student", specialist=SpecialistConfig())
    for method, teachers, told in (
        ("offline", ["specialist-1"], "knows 4 classes, the data have 8"),
        ("specialists", ["teacher", "control-0"], "no specialist for these classes"),
        ("specialists", ["teacher", "specialist-1/model"], "not finished"),
    ):
        folders = tuple(str(council / name) for name in teachers)
        own = dataclasses.replace(settings, method=method, teacher=folders)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=told):
            open_teachers(own, planted.classes)
    assert not (tmp_path / "run").exists()
