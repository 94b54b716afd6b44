"""Whole small runs of the online methods: resumed to the byte, saved, measured, told."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from support.stop_requests import AtSteps
from tutelage.commands.inference import load
from tutelage.config.job import TrainConfig
from tutelage.config.methods import DMLConfig, MethodConfig
from tutelage.config.recipes import method_names, read_recipe
from tutelage.config.schema import build
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import Interrupted, UsageError
from tutelage.models.model_folder import load_model
from tutelage.reports.record.read import read_runs
from tutelage.reports.render.peers import peer_lines
from tutelage.reports.write import write_record

TIMED = {"timings.json", "incidents.jsonl", "run.json"}
NAMES = {
    "dml": ("peer1",),
    "turns": ("peer1",),
    "one": ("peer1", "peer2"),
    "joint": ("teacher",),
}


def settings(name: str) -> TrainConfig:
    """A recipe as it comes, on the smallest networks: two epochs of two steps."""
    recipe = "dml" if name == "turns" else name
    teaching = build(MethodConfig, read_recipe(recipe).table, where=recipe)
    methods = dataclasses.replace(
        teaching.methods,
        dml=DMLConfig(alternate=name == "turns"),
        joint=dataclasses.replace(teaching.methods.joint, model="cifar_resnet8"),
    )
    return TrainConfig(
        model="test_resnet",
        weights="none",
        epochs=2,
        batch_size=100,
        device="cpu",
        precision="fp32",
        role="student",
        method=teaching.method,
        methods=methods,
        losses=teaching.losses,
        clip_grad=1.0,
    )


def place(root: Path, stop: StopRequest | None = None) -> RunContext:
    return RunContext(
        "run", root / "run", root / "cache", Console(quiet=True), stop or StopRequest()
    )


@pytest.fixture(scope="module")
def finished(small_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run folder of a method, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    "tutelage.engine.finish.measure_latency", lambda *_args, **_options: []
                )
                made[name] = train_one(settings(name), small_pack, place(root))
        return made[name]

    return make


def scores(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that must be the same, by name."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in TIMED]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", NAMES)
def test_stopped_at_every_step(
    name: str, finished: Callable[[str], Path], small_pack: Pack, tmp_path: Path
) -> None:
    """Stopped after each of the four steps or never: student, companions, scores, journal are equal bytes."""
    stops = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        for _ in range(10):
            try:
                train_one(settings(name), small_pack, place(tmp_path, AtSteps()))
                break
            except Interrupted:
                stops += 1
    assert stops == 5  # and before it is measured
    whole, stopped = contents(finished(name)), contents(tmp_path / "run")
    assert whole.keys() == stopped.keys()
    assert {f"peers/{peer}/model/model.safetensors" for peer in NAMES[name]} <= whole.keys()
    assert [file for file in whole if whole[file] != stopped[file]] == []


@pytest.mark.parametrize("name", NAMES)
def test_all_networks_are_saved(
    name: str, finished: Callable[[str], Path], small_pack: Pack
) -> None:
    """The folders of student and companions load, and answer what stands in their predictions."""
    folder = finished(name)
    load(folder)
    images = torch.from_numpy(small_pack.images[small_pack.rows("val")]).permute(0, 3, 1, 2)
    answers = []
    for own in (folder, *(folder / "peers" / peer for peer in NAMES[name])):
        load(own / "model")
        said = load_file(own / "predictions" / "val.safetensors")
        assert said["ids"].tolist() == small_pack.rows("val").tolist()
        with torch.no_grad():
            answer = load_model(own / "model").classifier(images).logits.numpy()
        np.testing.assert_allclose(answer, said["logits"], rtol=1e-4, atol=1e-4)
        answers.append(answer)
    for number, answer in enumerate(answers):
        assert not any(np.array_equal(answer, other) for other in answers[:number])


@pytest.mark.medium
@pytest.mark.parametrize("name", NAMES)
def test_scores(name: str, finished: Callable[[str], Path]) -> None:
    """Accuracy and likelihood of every companion and of the ensemble, by numpy from the predictions."""
    folder = finished(name)
    told = scores(folder)
    assert [peer["name"] for peer in told["companions"]] == list(NAMES[name])
    probabilities, accuracies = [], {}
    parts = {"student": folder, **{peer: folder / "peers" / peer for peer in NAMES[name]}}
    facts = {"student": told["last"], **{peer["name"]: peer for peer in told["companions"]}}
    for who, own in parts.items():
        said = load_file(own / "predictions" / "val.safetensors")
        labels, logits = said["labels"], said["logits"].astype(np.float64)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        probabilities.append(weights / weights.sum(1, keepdims=True))
        accuracies[who] = float((logits.argmax(1) == labels).mean())
        assert facts[who]["val"]["accuracy"] == pytest.approx(accuracies[who])
        assert facts[who]["test"] is None  # the pack's test images have no labels
    together = sum(probabilities) / len(probabilities)
    accuracies["ensemble"] = float((together.argmax(1) == labels).mean())
    ensemble = told["ensemble"]["val"]
    assert ensemble["accuracy"] == pytest.approx(accuracies["ensemble"])
    likelihood = -np.log(together[np.arange(len(labels)), labels]).mean()
    assert ensemble["nll"] == pytest.approx(likelihood, rel=1e-6)
    best = told["best_together"]
    assert best["accuracy"] == pytest.approx(max(accuracies.values()))
    assert accuracies[best["name"]] == max(accuracies.values())
    assert best["chosen_on"] == "val"
    for peer in told["companions"]:
        saved = load_file(folder / "peers" / peer["name"] / "model" / "model.safetensors")
        network = load_model(folder / "peers" / peer["name"] / "model").classifier.network
        assert peer["cost"]["parameters"] == sum(p.numel() for p in network.parameters())
        assert peer["cost"]["size_bytes"] > sum(array.nbytes for array in saved.values()) * 0.99


@pytest.mark.parametrize("name", NAMES)
def test_the_journal_tells_every_term(name: str, finished: Callable[[str], Path]) -> None:
    """Each epoch has the mean of every term of every network, and no share of a loss that was not there."""
    events = read_events(finished(name) / "journal.jsonl")
    epochs = [event["train"] for event in events if event["event"] == "epoch"]
    names = {"label", "logit_mse"} if name == "joint" else {"label", "kd"}
    if name == "joint":
        expected = names | {"teacher.label"}
    else:
        expected = names | {f"{peer}.{term}" for peer in NAMES[name] for term in names}
    expected |= {"ensemble.label"} if name == "one" else set()
    assert len(epochs) == 2
    for train in epochs:
        assert set(train["terms"]) == expected
        assert sum(train["shares"].values()) == pytest.approx(1.0)
    norms: set[str] = set()
    for event in events:
        norms |= set(event["norms"]) if event["event"] == "gradients" else set()
    assert norms == expected


@pytest.mark.parametrize("name", ["turns", "one", "joint"])
def test_the_report_tells_of_them(
    name: str, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    """A row for the student, each companion and the ensemble on the page and in Markdown; one is best."""
    record = read_runs([finished(name)])
    rows = peer_lines(record)
    assert [row.name for row in rows] == ["student", *NAMES[name], "ensemble"]
    told = scores(finished(name))
    assert [row.name for row in rows if row.best] == [told["best_together"]["name"]]
    assert rows[-1].validation == f"{100 * told['ensemble']['val']['accuracy']:.1f}"
    page = write_record(record, tmp_path).read_text("utf-8")
    section = (tmp_path / "report.md").read_text("utf-8").partition("## Learned side by side")[2]
    for row in rows:
        assert f'data-peer="run/{row.name}"' in page
        assert f"| run | {row.name} |" in section.partition("\n## ")[0]
    # Each term's gradient is told, of whatever phase it was.
    assert all(pull.gradient is not None for t in record.runs[0].terms for pull in t.pulls)


def test_the_card_says_who_taught(finished: Callable[[str], Path]) -> None:
    """Of a student among peers, of a peer, and of a teacher that learned from the labels alone."""
    student = (finished("dml") / "model" / "README.md").read_text()
    assert "Student, taught without a finished teacher (method dml: networks side" in student
    peer = (finished("dml") / "peers" / "peer1" / "model" / "README.md").read_text()
    assert "Companion of a student (peer1), taught without" in peer
    teacher = (finished("joint") / "peers" / "teacher" / "model" / "README.md").read_text()
    assert "Companion of a student (teacher), trained on the labels alone" in teacher


def test_a_module_of_ones_own(small_pack: Pack, tmp_path: Path) -> None:
    """Companions of a network of the caller's own are more like it, each with weights of its own."""

    class Own(nn.Sequential):
        pass

    def make(classes: int) -> nn.Module:
        return Own(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, classes))

    own = dataclasses.replace(settings("one"), epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        folder = train_one(own, small_pack, place(tmp_path), network=make)
    weights = [
        load_file(path / "model" / "model.safetensors")["2.weight"]
        for path in (folder, folder / "peers" / "peer1", folder / "peers" / "peer2")
    ]
    assert not any(np.array_equal(one, other) for one in weights[1:] for other in weights[:1])
    assert [peer["model"] for peer in scores(folder)["companions"]] == ["Own", "Own"]


def test_a_finished_teacher_is_refused(
    small_pack: Pack, teacher_folder: Path, tmp_path: Path
) -> None:
    """Networks that teach each other listen to nobody else, and that is said before anything is trained."""
    with_teacher = dataclasses.replace(settings("dml"), teacher=(str(teacher_folder),))
    with pytest.raises(UsageError, match="uses no finished teacher"):
        train_one(with_teacher, small_pack, place(tmp_path))


def test_the_recipes_are_there() -> None:
    """Each online method has a recipe of its name that chooses it, with the published weights."""
    assert {"dml", "one", "joint"} <= set(method_names())
    for name in ("dml", "one", "joint"):
        found = build(MethodConfig, read_recipe(name).table, where=name)
        assert found.method == name
