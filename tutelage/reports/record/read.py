"""Finished folders -> Record: the only place of the report that knows the file names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from tutelage.config.renamed import current_name, current_names
from tutelage.config.toml import parse_toml, read_toml
from tutelage.errors import InputError, UsageError
from tutelage.reports.record.fields import Fields, json_lines, read_sealed_json, require_file
from tutelage.reports.record.pack import list_scalars, read_data
from tutelage.reports.record.scores import read_cost, read_scored
from tutelage.reports.record.terms import read_loss_terms
from tutelage.reports.record.types import (
    ROLES,
    EpochRecord,
    JobRecord,
    LatencyRecord,
    PredictionsRecord,
    RunRecord,
    ScoredRecord,
    Split,
    TimingsRecord,
)
from tutelage.reports.wording import plain
from tutelage.storage.run_results import Results, open_results, require_job
from tutelage.storage.safe_paths import path_inside, require_plain


def read_job(job: Path) -> JobRecord:
    """Everything a report needs from a job folder, as `tutelage run` leaves it.

    Raises:
        InputError: a file is missing or cannot be read; the message names it.
    """
    require_plain(job)
    if (job / "job.json").is_file():
        require_job(job)
    plan = read_sealed_json(job / "plan.json")
    runs = [read_run(folder) for folder in run_folders(job)]
    classes = tuple(
        plain(str(name)) for name in read_sealed_json(job / "data.json").items("classes")
    )
    record = JobRecord(
        title=plain(plan.text("title", "")) or plain(job.name),
        recipe=plain(plan.text("recipe", "")),
        temperature=plan.optional_number("temperature"),
        alpha=plan.optional_number("alpha"),
        classes=classes,
        runs=tuple(runs),
        specialists=tuple(read_run(folder) for folder in specialist_folders(job)),
        data=read_data(job),
        settings=_settings(job / "config.toml"),
        ensembles=_ensembles(plan, {run.name for run in runs}),
    )
    _check(record, job)
    return record


def _ensembles(plan: Fields, runs: set[str]) -> dict[str, tuple[str, ...]]:
    found = plan.optional_table("ensembles")
    if found is None:
        return {}
    named = {plain(key): tuple(plain(str(n)) for n in found.items(key)) for key in found.plain}
    for names in named.values():
        if not names or not runs.issuperset(names):
            raise InputError(
                "runs that belong together are not there", where=plan.where, found=names
            )
    return named


def read_runs(folders: Sequence[Path]) -> JobRecord:
    """A record of run folders without a job: no pack, so no images.

    Raises:
        InputError: a folder is not a finished run, or the runs have different classes.
    """
    if not folders:
        raise UsageError("nothing to compare", expected="one run folder or more")
    runs = tuple(read_run(folder) for folder in folders)
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
        classes=_class_names(folders[0]),
        runs=runs,
        data=None,
        settings=runs[0].settings,
    )
    _check(record, folders[0])
    return record


def run_folders(folder: Path) -> list[Path]:
    """The run folders that a folder stands for: those of a job, but for its specialists, or itself."""
    if not (folder / "plan.json").is_file():
        return [folder]
    return _planned(folder, specialists=False)


def specialist_folders(job: Path) -> list[Path]:
    """The run folders of a job's specialists; one for whom no group of classes was left has none."""
    return [run for run in _planned(job, specialists=True) if run.is_dir()]


def _planned(job: Path, *, specialists: bool) -> list[Path]:
    entries = read_sealed_json(job / "plan.json").tables("runs")
    chosen = [e for e in entries if (e.text("role", "") == "specialist") == specialists]
    return [path_inside(job, entry.text("folder"), where=job / "plan.json") for entry in chosen]


def read_run(folder: Path) -> RunRecord:
    """One finished run folder.

    Raises:
        InputError: a file is missing or cannot be read; the message names it.
    """
    require_plain(folder)
    require_file(folder / "run.json")
    results = open_results(folder)
    about = Fields(results.facts, folder / "run.json")
    scores = Fields(results.table("scores.json"), folder / "scores.json")
    role = current_name("role", about.text("role"))
    if role not in ROLES:
        raise InputError(
            "a run has no known role", where=about.where, found=role, expected=" or ".join(ROLES)
        )
    journal = results.read("journal.jsonl").decode("utf-8", "surrogateescape")
    events = list(json_lines(journal, folder / "journal.jsonl"))
    last = read_scored(scores.table("last"))
    return RunRecord(
        name=plain(about.text("name")),
        role=role,
        seed=about.integer("seed"),
        model=plain(scores.text("model")),
        published_name=plain(scores.text("published_name", "")),
        weights=plain(scores.text("weights", "none")),
        epochs=scores.integer("epochs"),
        last=last,
        best=read_scored(scores.table("best")),
        cost=read_cost(scores.table("cost")),
        journal=_journal(events),
        terms=read_loss_terms(events),
        notes=tuple(plain(e.text("text", "")) for e in events if e.plain.get("event") == "note"),
        timings=_timings(Fields(results.timings(), folder / "timings.json")),
        settings=list_scalars(
            current_names(parse_toml(results.read("config.toml"), folder / "config.toml"))
        ),
        environment=list_scalars(results.table("environment.json")),
        predictions=_answers(results, last),
        scores=scores.plain,
        beside={
            plain(own.name): _answers(results, last, beside=own.name)
            for own in sorted(folder.glob("peers/*"))
        },
    )


def _answers(
    results: Results, last: ScoredRecord, *, beside: str = ""
) -> dict[Split, PredictionsRecord]:
    splits: tuple[Split, ...] = ("val",) if last.test is None else ("val", "test")
    return {split: _predictions(results, split, beside) for split in splits}


def _predictions(results: Results, split: Split, beside: str) -> PredictionsRecord:
    found = results.answers(split, beside=beside)
    return PredictionsRecord(
        found["ids"].astype(np.int64),
        found["labels"].astype(np.int64),
        found["logits"].astype(np.float32, copy=False),
    )


def _journal(events: list[Fields]) -> tuple[EpochRecord, ...]:
    """The epochs in order; where a resumed run wrote an epoch twice, the later line holds."""
    epochs = {}
    for event in events:
        if event.plain.get("event") != "epoch":
            continue
        train, val = event.table("train"), event.table("val")
        terms = train.optional_table("terms")
        epochs[event.integer("epoch")] = EpochRecord(
            epoch=event.integer("epoch"),
            lr=event.optional_number("lr") or 0.0,
            train_loss=_number(train, "loss"),
            train_accuracy=_number(train, "accuracy"),
            val_loss=_number(val, "loss"),
            val_accuracy=_number(val, "accuracy"),
            terms={} if terms is None else {plain(k): _number(terms, k) for k in terms.plain},
        )
    return tuple(epochs[number] for number in sorted(epochs))


def _number(fields: Fields, key: str) -> float:
    value = fields.optional_number(key)
    return float("nan") if value is None else value


def _timings(fields: Fields) -> TimingsRecord:
    epochs = list(fields.tables("epochs")) if fields.plain.get("epochs") else []
    speeds = [s for e in epochs if (s := e.optional_number("images_per_second")) is not None]
    waits = [w for e in epochs if (w := e.optional_number("data_wait")) is not None]
    latency = fields.tables("latency") if fields.plain.get("latency") else ()
    return TimingsRecord(
        total_seconds=fields.number("total_seconds"),
        images_per_second=median(speeds) if speeds else None,
        data_wait=sum(waits) / len(waits) if waits else None,
        teacher_pass_seconds=fields.optional_number("teacher_pass_seconds"),
        latency=tuple(
            LatencyRecord(
                batch=row.integer("batch"),
                p50_ms=row.number("p50_ms"),
                p95_ms=row.number("p95_ms"),
                device=plain(row.text("device", "")),
            )
            for row in latency
        ),
    )


def _settings(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InputError("config.toml is missing: the folder is not complete", where=path)
    return list_scalars(current_names(read_toml(path)))


def _class_names(folder: Path) -> tuple[str, ...]:
    scores = Fields(open_results(folder).table("scores.json"), folder / "scores.json")
    rows = scores.table("last").table("val").tables("per_class")
    return tuple(plain(row.text("class")) for row in rows)


def _check(record: JobRecord, where: Path) -> None:
    names = [run.name for run in record.runs]
    if not names:
        raise InputError("there is no run to report", where=where)
    for run in record.runs:
        if len(run.last.val.per_class) != len(record.classes):
            raise InputError(
                f"{run.name} has other classes than the data",
                where=where,
                found=len(run.last.val.per_class),
                expected=len(record.classes),
            )
        for said in run.predictions.values():
            odd = (said.labels < -1) | (said.labels >= len(record.classes))
            if odd.any() or said.logits.shape[1:] != (len(record.classes),):
                raise InputError(
                    f"{run.name} predicts other classes than the data have", where=where
                )
    if len(set(names)) != len(names):
        raise InputError(
            "two runs have the same name", where=where, found=", ".join(names), expected="one each"
        )
