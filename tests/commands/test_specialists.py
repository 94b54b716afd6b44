"""Specialists, whole: planted groups are found, all together help there, and what a job of them leaves."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from support.planted_classes import JOB, PLANTED, place, scores, special
from tutelage.commands.run_plan import run_plan
from tutelage.config.job import TrainConfig
from tutelage.config.teacher import SpecialistConfig
from tutelage.config.toml import read_toml
from tutelage.data.loading.loader import training_loader
from tutelage.data.pack.pack import Pack
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.specialists import measure_specialists
from tutelage.engine.teachers import open_teachers
from tutelage.errors import InputError
from tutelage.methods.offline import supervised_training
from tutelage.methods.registry import plan_job
from tutelage.methods.specs.specialists import find_groups
from tutelage.models.model_folder import load_model
from tutelage.models.weights import fingerprint_of
from tutelage.reports.record.read import read_job, read_runs
from tutelage.reports.write import comparison
from tutelage.teachers.cache.table import open_cache_table
from tutelage.teachers.load_specialists import specialist_group

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---------------------------------------------------------------------- what it is for


@pytest.mark.parametrize("seed", range(3))
def test_planted_classes(seed: int, planted: Pack, council: Path, tmp_path: Path) -> None:
    """The groups are found exactly, and together all name more of the planted classes than the generalist."""
    job = council
    if seed:
        job = tmp_path / "job"
        steps = plan_job(dataclasses.replace(JOB, seed=seed))
        trained = [step for step in steps if step.settings.role in ("teacher", "specialist")]
        run_plan(trained, planted, place(job), networks={})
    assert find_groups(job / "teacher", 5) == PLANTED
    folders = tuple(str(job / name) for name in ("teacher", "specialist-1", "specialist-2"))
    settings = TrainConfig(method="specialists", methods=JOB.methods, teacher=folders)
    measured = measure_specialists(open_teachers(settings, planted.classes), planted)
    for split in ("val", "test"):
        found = measured[split]
        assert found["in_groups"]["images"] == 200
        assert found["in_groups"]["together"] > found["in_groups"]["generalist"]
        assert found["together"]["accuracy"] > found["generalist"]


# ---------------------------------------------------------------------- what is heard


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def by_hand(generalist: NDArray[Any], said: list[NDArray[Any]], pack: Pack) -> NDArray[np.float64]:
    """The combination of those who know the generalist's first class, image by image.

    With one specialist the sum of both divergences is least where q is the mean of both within the group,
    and outside it proportional to the generalist's.
    """
    p = softmax(generalist)
    train = pack.labels[pack.rows("train")]
    for group, logits in zip(PLANTED, said, strict=True):
        numbers = [pack.classes.index(name) for name in group]
        own = int(np.isin(train, numbers).sum())
        corrected = logits + np.log([1] * len(group) + [(len(train) - own) / own])
        for row, own_word in enumerate(softmax(corrected)):
            if generalist[row].argmax() not in numbers:
                continue
            outside = np.setdiff1d(np.arange(p.shape[1]), numbers)
            rest = p[row, outside].sum()
            p[row, outside] *= (rest + own_word[-1]) / 2 / rest
            p[row, numbers] = (p[row, numbers] + own_word[:-1]) / 2
    return p


def test_the_student_hears_all_of_them(council: Path, planted: Pack, tmp_path: Path) -> None:
    """Its teacher's word about a batch is the combination by hand of what the networks say themselves."""
    settings = dataclasses.replace(
        special(role="student", specialist=SpecialistConfig()),
        method="specialists",
        methods=JOB.methods,
        teacher=tuple(str(council / n) for n in ("teacher", "specialist-1", "specialist-2")),
    )
    saved = open_teachers(settings, planted.classes)
    assert [specialist_group(one) for one in saved.models[1:]] == list(PLANTED)
    before = [fingerprint_of(one.classifier.network) for one in saved.models]
    student = load_model(council / "student-0" / "model").classifier
    at = place(tmp_path / "run")
    method = supervised_training(student, label_smoothing=0.0)
    word = saved.prepare(planted, method, at, resolve_runtime(settings), shares=()).teacher
    loader = training_loader(planted, batch_size=300, views=settings, seed=0, device=CPU)
    for epoch in range(2):
        batch = next(loader.epoch(epoch))
        with torch.no_grad():
            said = [one.classifier.eval()(batch.images).logits.numpy() for one in saved.models]
        heard = word(batch).logits
        assert heard is not None
        expected = by_hand(said[0], said[1:], planted)
        np.testing.assert_allclose(heard.exp().numpy(), expected, rtol=0, atol=2e-3)
        asked = np.isin(said[0].argmax(1), [planted.classes.index(n) for g in PLANTED for n in g])
        assert 50 < asked.sum() < 290
        assert np.abs(expected - softmax(said[0]))[asked].max() > 0.1
    assert [fingerprint_of(one.classifier.network) for one in saved.models] == before


def test_measured_together(council: Path, planted: Pack) -> None:
    """Accuracies in scores.json are those of the combination by hand, for all classes and for each group."""
    runs = ("teacher", "specialist-1", "specialist-2")
    told = scores(council / "student-0")["council"]
    assert told["groups"] == [list(group) for group in PLANTED]
    for split in ("val", "test"):
        kept = [load_file(council / run / "predictions" / f"{split}.safetensors") for run in runs]
        labels = kept[0]["labels"]
        right = (
            by_hand(kept[0]["logits"], [k["logits"] for k in kept[1:]], planted).argmax(1) == labels
        )
        alone = kept[0]["logits"].argmax(1) == labels
        assert told[split]["together"]["accuracy"] == pytest.approx(right.mean())
        assert told[split]["generalist"] == pytest.approx(alone.mean())
        for group, found in zip(PLANTED, told[split]["by_group"], strict=True):
            member = np.isin(labels, [planted.classes.index(name) for name in group])
            assert found["images"] == member.sum()
            assert found["together"] == pytest.approx(right[member].mean())
            assert found["generalist"] == pytest.approx(alone[member].mean())


# ---------------------------------------------------------------------- what a job leaves


def test_runs_of_the_job(council: Path) -> None:
    """Five clusters give two specialists; each knows its group, and only they and the generalist teach."""
    assert not (council / "specialist-3").exists()
    for number, group in enumerate(PLANTED, 1):
        run = council / f"specialist-{number}"
        told = scores(run)["specialist"]
        own = 60 * len(group)
        assert told == {
            "classes": list(group), "own": own, "others": 480 - own, "drawn": min(own, 480 - own),
        }  # fmt: skip
        assert read_toml(run / "config.toml")["specialist"]["classes"] == list(group)
        assert load_model(run / "model").classes == (*group, "(others)")
        assert "trained on the labels alone" in (run / "model" / "README.md").read_text()
    names = ["../teacher", "../specialist-1", "../specialist-2"]
    assert read_toml(council / "student-1" / "config.toml")["teacher"] == names
    assert read_toml(council / "control-1" / "config.toml")["teacher"] == []


def test_finished_runs_are_known_again(council: Path, planted: Pack) -> None:
    """Groups found anew are the same groups, so that a job that goes on does nothing twice."""
    files = [path for path in council.rglob("*") if path.name != ".lock"]
    before = {path: path.stat().st_mtime_ns for path in files}
    run_plan(plan_job(JOB), planted, place(council), networks={})
    assert before == {path: path.stat().st_mtime_ns for path in files}
    assert not (council / "specialist-3").exists()


def test_a_second_student_asks_nobody(council: Path) -> None:
    """Each network is asked once, about 480 images; the second student finds all answers."""
    caches = [path.parent for path in (council.parent / "teacher-cache").glob("*/manifest.json")]
    assert [len(open_cache_table(cache)) for cache in caches] == [480, 480, 480]
    passes = [
        json.loads((council / f"student-{seed}" / "timings.json").read_text())[
            "teacher_pass_seconds"
        ]
        for seed in range(2)
    ]
    assert passes[0] > 0
    assert passes[1] is None


def test_the_report(council: Path) -> None:
    """Groups, what all reach together, and the specialists' own lines; they are compared with nobody."""
    record = read_job(council)
    students = [f"{who}-{seed}" for seed in range(2) for who in ("student", "control")]
    assert [run.name for run in record.runs] == ["teacher", *students]
    assert [run.name for run in record.specialists] == ["specialist-1", "specialist-2"]
    page, text = ((council / "report" / f"report.{kind}").read_text() for kind in ("html", "md"))
    both = scores(council / "student-0")["council"]["test"]
    for shown in (page, text):
        assert "Coat 0, Coat 1, Coat 2" in shown
        assert (
            f"Together, the generalist and its 2 specialists classify "
            f"{100 * both['together']['accuracy']:.1f} % of the test images correctly, the generalist "
            f"alone {100 * both['generalist']:.1f} %"
        ) in shown
    group = both["by_group"][1]
    shares = [f"{100 * group[name]:.1f}" for name in ("generalist", "together")]
    assert f"| Trouser 0, Trouser 1 | 80 | {' | '.join(shares)} | " in text
    assert text.count("specialist-1") == 2  # in its own table and in that of times
    assert 'data-specialist="specialist-2"' in page
    told = json.loads((council / "report" / "scores.json").read_text())["runs"]
    assert {"specialist-1", "specialist-2"} <= told.keys()
    assert told["student-0"]["council"]["test"]["by_group"][1] == group


def test_no_comparison_with_other_classes(council: Path, tmp_path: Path) -> None:
    """A job beside a run leaves its specialists out; one that is named beside others is refused."""
    copy = shutil.copytree(council / "student-0", tmp_path / "again" / "student-0")
    lines = comparison([council, Path(copy)])
    assert any("again/student-0" in line for line in lines)
    assert not any("specialist-1" in line for line in lines)
    with pytest.raises(InputError, match="other classes"):
        read_runs([council / "teacher", council / "specialist-1"])
