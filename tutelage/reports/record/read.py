"""Read finished folders into a `JobRecord`: the only place of a report that knows the file names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from tutelage.config.renamed import current_name, current_names
from tutelage.config.roles import SPECIALIST
from tutelage.config.toml import parse_toml, read_toml
from tutelage.errors import InputError, UsageError
from tutelage.reports.record.files import read_sealed_json, require_file, to_record
from tutelage.reports.record.journal import read_journal
from tutelage.reports.record.pack import list_scalars, read_data
from tutelage.reports.record.types import (
    ROLES,
    CostRecord,
    JobRecord,
    PredictionsRecord,
    RunRecord,
    ScoredRecord,
    Split,
    TimingsRecord,
)
from tutelage.reports.wording import plain
from tutelage.storage.run_results import Results, open_results, require_job
from tutelage.storage.safe_paths import path_inside, require_plain
from tutelage.storage.scores import Latency, Metrics


class _PlannedRun(NamedTuple):
    folder: str
    role: str = ""


class _Plan(NamedTuple):
    """plan.json."""

    runs: tuple[_PlannedRun, ...]
    title: str = ""
    recipe: str = ""
    temperature: float | None = None
    alpha: float | None = None
    ensembles: Mapping[str, tuple[str, ...]] = {}


class _Run(NamedTuple):
    """run.json."""

    name: str
    role: str
    seed: int


class _Scores(NamedTuple):
    """scores.json."""

    model: str
    epochs: int
    last: ScoredRecord
    best: ScoredRecord
    cost: CostRecord
    published_name: str = ""
    weights: str = "none"


class _EpochTimings(NamedTuple):
    images_per_second: float | None = None
    data_wait: float | None = None


class _Timings(NamedTuple):
    """timings.json."""

    total_seconds: float
    epochs: tuple[_EpochTimings, ...] = ()
    latency: tuple[Latency, ...] = ()
    teacher_pass_seconds: float | None = None


def read_job(job: Path) -> JobRecord:
    """Read everything a report needs from a job folder.

    Raises:
        InputError: a file is missing or cannot be read; the message names it.
    """
    require_plain(job)
    if (job / "job.json").is_file():
        require_job(job)
    plan = _read_plan(job)
    data = read_data(job)
    record = JobRecord(
        title=plan.title or plain(job.name),
        recipe=plan.recipe,
        temperature=plan.temperature,
        alpha=plan.alpha,
        classes=data.classes,
        runs=tuple(map(read_run, run_folders(job))),
        specialists=tuple(map(read_run, specialist_folders(job))),
        data=data,
        settings=_settings(job / "config.toml"),
        ensembles=plan.ensembles,
    )
    _require_consistent(record, job)
    return record


def read_runs(folders: Sequence[Path]) -> JobRecord:
    """Read run folders without a job: the record has no pack, so no images.

    Raises:
        InputError: a folder is not a finished run, or the runs have different classes.
    """
    if not folders:
        raise UsageError("nothing to compare", expected="one run folder or more")
    runs = tuple(map(read_run, folders))
    if len({run.name for run in runs}) < len(runs):
        runs = tuple(
            replace(run, name=plain("/".join(folder.resolve().parts[-2:])))
            for run, folder in zip(runs, folders, strict=True)
        )
    record = JobRecord(
        title=" · ".join(dict.fromkeys(run.name for run in runs)),
        recipe="",
        temperature=None,
        alpha=None,
        classes=tuple(row["class"] for row in runs[0].last.val["per_class"]),
        runs=runs,
        data=None,
        settings=runs[0].settings,
    )
    _require_consistent(record, folders[0])
    return record


def run_folders(folder: Path) -> list[Path]:
    """List the run folders of a job, except its specialists; a run folder stands for itself."""
    if not (folder / "plan.json").is_file():
        return [folder]
    return _planned(folder, specialists=False)


def specialist_folders(job: Path) -> list[Path]:
    """List a job's specialists; one for which no group of classes was left has no folder."""
    return [run for run in _planned(job, specialists=True) if run.is_dir()]


def _read_plan(job: Path) -> _Plan:
    return to_record(_Plan, read_sealed_json(job / "plan.json"), job / "plan.json")


def _planned(job: Path, *, specialists: bool) -> list[Path]:
    chosen = [r for r in _read_plan(job).runs if (r.role == SPECIALIST) == specialists]
    return [path_inside(job, run.folder, where=job / "plan.json") for run in chosen]


def read_run(folder: Path) -> RunRecord:
    """Read one finished run folder.

    Raises:
        InputError: a file is missing or cannot be read; the message names it.
    """
    require_plain(folder)
    require_file(folder / "run.json")
    results = open_results(folder)
    about = to_record(_Run, results.facts, folder / "run.json")
    plain_scores = results.table("scores.json")
    scores = to_record(_Scores, plain_scores, folder / "scores.json")
    role = current_name("role", about.role)
    if role not in ROLES:
        raise InputError(
            "unknown role of a run",
            where=folder / "run.json",
            found=role,
            expected=" or ".join(ROLES),
        )
    text = results.read("journal.jsonl").decode("utf-8", "surrogateescape")
    journal = read_journal(text, folder / "journal.jsonl")
    config = parse_toml(results.read("config.toml"), folder / "config.toml")
    splits: tuple[Split, ...] = ("val", "test") if scores.last.test is not None else ("val",)
    return RunRecord(
        name=about.name,
        role=role,
        seed=about.seed,
        model=scores.model,
        published_name=scores.published_name,
        weights=scores.weights,
        epochs=scores.epochs,
        last=scores.last,
        best=scores.best,
        cost=scores.cost,
        journal=journal.epochs,
        terms=journal.terms,
        notes=journal.notes,
        timings=_timings(to_record(_Timings, results.timings(), folder / "timings.json")),
        settings=list_scalars(current_names(config)),
        environment=list_scalars(results.table("environment.json")),
        predictions={split: _predictions(results, split) for split in splits},
        scores=plain_scores,
        peers={
            plain(own.name): {split: _predictions(results, split, own.name) for split in splits}
            for own in sorted(folder.glob("peers/*"))
        },
    )


def _predictions(results: Results, split: Split, peer: str = "") -> PredictionsRecord:
    found = results.predictions(split, peer=peer)
    return PredictionsRecord(
        found["ids"].astype(np.int64),
        found["labels"].astype(np.int64),
        found["logits"].astype(np.float32, copy=False),
    )


def _timings(found: _Timings) -> TimingsRecord:
    speeds = [s for e in found.epochs if (s := e.images_per_second) is not None]
    waits = [w for e in found.epochs if (w := e.data_wait) is not None]
    return TimingsRecord(
        total_seconds=found.total_seconds,
        images_per_second=median(speeds) if speeds else None,
        data_wait=sum(waits) / len(waits) if waits else None,
        teacher_pass_seconds=found.teacher_pass_seconds,
        latency=found.latency,
    )


def _settings(path: Path) -> dict[str, str]:
    require_file(path)
    return list_scalars(current_names(read_toml(path)))


def _require_consistent(record: JobRecord, where: Path) -> None:
    """Raise InputError unless all runs have names of their own and the classes of the data."""
    names = [run.name for run in record.runs]
    if not names:
        raise InputError("there is no run to report", where=where)
    if len(set(names)) != len(names):
        raise InputError(
            "two runs have the same name", where=where, found=", ".join(names), expected="one each"
        )
    for names_of in record.ensembles.values():
        if not names_of or not set(names_of) <= set(names):
            raise InputError(
                "runs of an ensemble are missing", where=where / "plan.json", found=names_of
            )
    classes = len(record.classes)
    for run in record.runs:
        scored = (run.last.val, run.last.test, run.best.val, run.best.test)
        if not all(_has_classes(metrics, classes) for metrics in scored if metrics is not None):
            raise InputError(
                f"{run.name} has other classes than the data",
                where=where,
                found=len(run.last.val["per_class"]),
                expected=classes,
            )
        for found in run.predictions.values():
            odd = (found.labels < -1) | (found.labels >= classes)
            if odd.any() or found.logits.shape[1:] != (classes,):
                raise InputError(
                    f"{run.name} predicts other classes than the data have", where=where
                )


def _has_classes(metrics: Metrics, classes: int) -> bool:
    rows = metrics["confusion"]
    fits = {len(metrics["per_class"]), len(rows), *map(len, rows)} == {classes}
    return fits and classes > 0 and min(map(min, rows)) >= 0 and max(map(max, rows)) < 1 << 53
