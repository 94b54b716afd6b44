"""Plans carried out, small and whole: what they leave, who is named, what stays, what the report says."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from tutelage.commands import train as verbs
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.methods import (
    AssistantsConfig,
    BornAgainConfig,
    MethodOptions,
    MultiTeacherConfig,
    RCOConfig,
    SpecialistsConfig,
)
from tutelage.config.objective import LossConfig
from tutelage.config.toml import read_toml
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import Interrupted, UsageError
from tutelage.models.model_folder import load_model
from tutelage.models.weights import fingerprint_of
from tutelage.reports.record.read import read_job
from tutelage.reports.render.peers import peer_lines
from tutelage.reports.wording import NONE, markdown_cell, role_label

SMALL = NetworkConfig(model="test_resnet", weights="none", epochs=1, batch_size=100)
BORN_AGAIN = LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=1.0, temperature=1.0))
USUAL: dict[str, Any] = {"device": "cpu", "precision": "fp32", "teacher": SMALL, "student": SMALL}
USUAL["skip_teacher_check"] = True  # a few steps make no teacher
JOBS = {
    "multi-teacher": DistillConfig(
        method="multi-teacher",
        methods=MethodOptions(
            multi_teacher=MultiTeacherConfig(models=("cifar_resnet8",), weigh="validation")
        ),
        **USUAL,
    ),
    "rco": DistillConfig(
        method="rco",
        methods=MethodOptions(rco=RCOConfig(checkpoints=2)),
        **USUAL | dict.fromkeys(("teacher", "student"), dataclasses.replace(SMALL, epochs=2)),
    ),
    "specialists": DistillConfig(
        method="specialists",
        methods=MethodOptions(specialists=SpecialistsConfig(groups=3)),
        **USUAL,
    ),
    "assistants": DistillConfig(
        method="assistants",
        methods=MethodOptions(assistants=AssistantsConfig(models=("cifar_resnet8",), dense=True)),
        **USUAL,
    ),
    "born-again": DistillConfig(
        method="born-again",
        methods=MethodOptions(born_again=BornAgainConfig(count=1)),
        losses=BORN_AGAIN,
        **USUAL,
    ),
}
MUTED = LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=0.0, temperature=1.0))
JOBS["dml"] = DistillConfig(method="dml", losses=MUTED, seeds=2, **USUAL)
RUNS = {
    "dml": [
        *("student-0", "control-0", "peer1-control-0"),
        *("student-1", "control-1", "peer1-control-1"),
    ],
    "multi-teacher": ["teacher", "teacher-2", "student-0", "control-0"],
    "rco": ["teacher", "student-0", "control-0"],
    "specialists": ["teacher", "student-0", "control-0"],  # specialists stand apart
    "assistants": ["teacher", "assistant-1", "student-0", "control-0"],
    "born-again": ["generation-0-0", "student-0", "control-0", "control-equal-compute-0"],
}
Done = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


@pytest.fixture(scope="module")
def done(small_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The whole job of a method, once for all tests here."""
    found: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name) / "job"
            verbs.run(small_pack.folder, JOBS[name], out=found[name], quiet=True)
        return found[name]

    return run


def network(run: Path) -> str:
    """The fingerprint of a run's last network, as it lies on the disk."""
    return fingerprint_of(load_model(run / "model").classifier.network)


def result(job: Path) -> dict[str, bytes]:
    """Networks, answers and journals of all runs of a job."""
    names = ("model.safetensors", "val.safetensors", "scores.json", "journal.jsonl", "config.toml")
    paths = [path for name in names for path in job.rglob(name) if "report" not in path.parts]
    return {str(path.relative_to(job)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("method", JOBS)
def test_the_report_has_every_run(done: Done, method: str) -> None:
    """Each plan leaves its runs and a report that lists them by role; the verdict is student and control."""
    job = done(method)
    record = read_job(job)
    assert [run.name for run in record.runs] == RUNS[method]
    page, text = ((job / "report" / f"report.{kind}").read_text() for kind in ("html", "md"))
    for run in record.runs:
        assert run.name in page
        assert f"| {markdown_cell(run.name)} |" in text
        assert role_label(run.role) in text
        assert json.loads((job / run.name / "run.json").read_text())["finished"]
    told = json.loads((job / "report" / "scores.json").read_text())
    students = [name for name in RUNS[method] if name.startswith("student")]
    controls = [
        name for name in RUNS[method] if name.startswith("control-") and "equal" not in name
    ]
    assert [p["student"] for p in told["verdict"]["per_seed"]] == students
    assert [p["control"] for p in told["verdict"]["per_seed"]] == controls


@pytest.mark.medium
def test_a_companion_that_hears_nothing(done: Done) -> None:
    """At a weight of 0 for the peer's word, both networks end as the bytes that each is alone."""
    job = done("dml")
    for seed in range(2):
        pairs = {"student": f"control-{seed}", "student/peers/peer1": f"peer1-control-{seed}"}
        for together, alone in pairs.items():
            own = together.replace("student", f"student-{seed}")
            assert network(job / own) == network(job / alone)
    assert network(job / "control-0") != network(job / "peer1-control-0")


def test_companions_are_held_against_themselves(done: Done) -> None:
    """Table, sentence and numbers: the peer beside itself alone, the student beside its control."""
    job = done("dml")
    told = json.loads((job / "report" / "scores.json").read_text())["beside_alone"]["peer1"]
    assert [p["control"] for p in told["per_seed"]] == ["peer1-control-0", "peer1-control-1"]
    assert told["difference"] == 0
    found = {f"{side.run}/{side.name}": side for side in peer_lines(read_job(job))}
    for name, side in found.items():
        expected = (NONE, NONE) if name.endswith("ensemble") else (side.accuracy, "+0.0")
        assert (side.alone, side.gain) == expected
    assert (
        "peer1, compared with the same network trained alone: +0.00 points"
        in (job / "report" / "report.md").read_text()
    )


@pytest.mark.medium
@pytest.mark.parametrize(
    ("method", "taught"),
    [
        ("multi-teacher", {"student-0": ("teacher", "teacher-2")}),
        ("assistants", {"assistant-1": ("teacher",), "student-0": ("teacher", "assistant-1")}),
        ("born-again", {"generation-0-0": (), "student-0": ("generation-0-0",)}),
    ],
)
def test_who_taught_is_told(done: Done, method: str, taught: dict[str, tuple[str, ...]]) -> None:
    """Each run's folder names its teachers, by folder and by weights, which are still those on the disk."""
    job = done(method)
    for name in RUNS[method]:
        own = taught.get(name, ())
        assert read_toml(job / name / "config.toml")["teacher"] == [f"../{one}" for one in own]
        told = read_events(job / name / "journal.jsonl")[0]["teachers"]
        assert [one["folder"] for one in told] == list(own)
        assert [one["weights"] for one in told] == [network(job / one) for one in own]
        if own:
            assert sum(one["share"] for one in told) == pytest.approx(1.0)


@pytest.mark.medium
def test_a_course_names_its_checkpoints(done: Done) -> None:
    """The student's journal holds both as they still are on the disk; the last one is the teacher."""
    job = done("rco")
    told = read_events(job / "student-0" / "journal.jsonl")[0]["teachers"]
    kept = sorted((job / "teacher" / "checkpoints-kept").glob("*"))
    assert [folder.name for folder in kept] == ["0001", "0002"]
    assert [one["weights"] for one in told] == [network(folder) for folder in kept]
    assert told[1]["weights"] == network(job / "teacher") != told[0]["weights"]
    assert not (job / "student-0" / "checkpoints-kept").exists()


class Own(nn.Module):
    """A module of the user's own, which no name makes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(8, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.fc(self.body(images).flatten(1))


@pytest.mark.parametrize("method", ["offline", "born-again", "dml"])
def test_modules_of_ones_own(method: str, small_pack: Pack, tmp_path: Path) -> None:
    """Teacher and student may be modules that only Python has: whoever is taught by them can open them."""
    job = JOBS.get(method, DistillConfig(**USUAL))
    networks = {"student": Own, "teacher": Own}
    out = tmp_path / "job"
    verbs.run(small_pack.folder, job, out=out, networks=networks, quiet=True)
    record = read_job(out)
    assert {run.model for run in record.runs} == {"Own"}
    if method != "dml":
        told = read_events(out / "student-0" / "journal.jsonl")[0]["teachers"]
        assert [one["model"] for one in told]
    with pytest.raises(UsageError, match="module of your own"):
        verbs.run(
            small_pack.folder, JOBS["specialists"], out=tmp_path / "council", networks=networks
        )


def test_validation_weighs_the_teachers(done: Done) -> None:
    """What each counts is that of its loss on the validation images, as its own run measured it."""
    job = done("multi-teacher")
    told = read_events(job / "student-0" / "journal.jsonl")[0]["teachers"]
    scores = [json.loads((job / t / "scores.json").read_text()) for t in ("teacher", "teacher-2")]
    counts = np.exp([-one["last"]["val"]["nll"] for one in scores])
    np.testing.assert_allclose([t["share"] for t in told], counts / counts.sum(), rtol=1e-6)


def plain(pack: Pack, folder: Path, seed: int) -> Path:
    """Supervised training of the student, by no plan at all."""
    settings = TrainConfig(model="test_resnet", weights="none", epochs=1, batch_size=100, device="cpu",
                      precision="fp32", role="control", seed=seed)  # fmt: skip
    place = RunContext("run", folder, folder.parent / "cache", Console(quiet=True), StopRequest())
    return train_one(settings, pack, place)


def test_generation_zero_is_supervised_training(
    done: Done, small_pack: Pack, tmp_path: Path
) -> None:
    """Network and answers are those of a plain run of its seed, to the byte."""
    generation = done("born-again") / "generation-0-0"
    seed = json.loads((generation / "run.json").read_text())["seed"]
    alone = plain(small_pack, tmp_path / "run", seed)
    for name in ("model/model.safetensors", "predictions/val.safetensors"):
        assert (generation / name).read_bytes() == (alone / name).read_bytes()
    terms = read_events(generation / "journal.jsonl")[1]["train"]["terms"]
    assert list(terms) == ["label"]


def test_what_is_said_beside_the_verdict(done: Done) -> None:
    """The mean answer of all generations, and the student against training for as long as they took."""
    job = done("born-again")
    kept = [
        load_file(job / run / "predictions" / "val.safetensors")
        for run in ("generation-0-0", "student-0", "control-equal-compute-0")
    ]
    logits = [one["logits"].astype(np.float64) for one in kept]
    shares = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in logits[:2]]
    right = [(s.argmax(1) == kept[0]["labels"]).mean() for s in (sum(shares), *logits[1:])]
    told = json.loads((job / "report" / "scores.json").read_text())
    (ensemble,) = told["ensembles"]
    assert ensemble["runs"] == ["generation-0-0", "student-0"]
    assert (ensemble["accuracy"], ensemble["alone"]) == pytest.approx(right[:2])
    assert told["at_equal_compute"]["difference"] == pytest.approx(right[1] - right[2])
    text = (job / "report" / "report.md").read_text()
    assert f"2 generations (mean of their probabilities) reaches {100 * right[0]:.1f} %" in text
    assert "Compared with training without a teacher at equal compute (2 epochs): " in text
    assert read_job(job).of("control-equal-compute")[0].epochs == 2


def test_finished_runs_are_skipped(done: Done, small_pack: Pack) -> None:
    """A job that is done is returned as it is."""
    job = done("assistants")
    before = {path: path.stat().st_mtime_ns for path in job.rglob("*") if path.name != ".lock"}
    verbs.run(small_pack.folder, JOBS["assistants"], out=job, quiet=True)
    assert before == {path: path.stat().st_mtime_ns for path in before}


class Later(StopRequest):
    """Asked to stop at the so-manieth question."""

    def __init__(self, questions: int) -> None:
        super().__init__()
        self.left = questions

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0

    def poll(self, _done: int = 0, _count: int = 0) -> None:
        """Go on: measuring asks no questions."""


def test_interrupted_and_resumed(
    done: Done, small_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of its assistant and resumed from the folder, a job ends in the same bytes."""
    out = tmp_path / "job"

    @contextlib.contextmanager
    def listening() -> Iterator[StopRequest]:
        yield Later(6)

    with monkeypatch.context() as patch:
        patch.setattr("tutelage.commands.session.stop_requests", listening)
        with pytest.raises(Interrupted):
            verbs.run(small_pack.folder, JOBS["assistants"], out=out, quiet=True)
    assert json.loads((out / "teacher" / "run.json").read_text())["finished"]
    assert not json.loads((out / "assistant-1" / "run.json").read_text())["finished"]
    steps = [path.name for path in (out / "assistant-1" / "checkpoints").iterdir()]
    assert steps == ["step-00000001"]
    verbs.resume(out, quiet=True)
    assert result(out) == result(done("assistants"))


def test_one_run_is_not_several() -> None:
    """A method that takes several runs is not one of `distill`; what plans them is named."""
    for method in ("assistants", "born-again"):
        settings = TrainConfig(method=method, teacher=("runs/teacher",))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="takes several runs") as caught:
            verbs.distill("sample", settings, out="never")
        assert "tutelage run" in str(caught.value.fix)
