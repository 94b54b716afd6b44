"""Write JOB/report/ of a finished job: the page, Markdown, numbers as JSON and CSV, figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tutelage.reports.record.files import strict
from tutelage.reports.record.read import read_job, read_runs, run_folders
from tutelage.reports.record.types import JobRecord
from tutelage.reports.render.console import render_comparison
from tutelage.reports.render.csv import curves_csv, differences_csv, per_class_csv, runs_csv
from tutelage.reports.render.figures import draw_figures, write_figures
from tutelage.reports.render.html import render_page
from tutelage.reports.render.markdown import render_markdown
from tutelage.reports.statistics.secondary import (
    at_equal_compute,
    ensemble_gains,
    peers_against_alone,
)
from tutelage.reports.statistics.verdict import Verdict, compare_runs
from tutelage.storage.atomic import recover_partial_writes, write_bytes
from tutelage.storage.disk import disk_errors
from tutelage.storage.safe_paths import require_plain

CONFUSION_CLASSES = 100


def write_report(job: Path) -> Path:
    """Write the report of a job and return the path of report.html. The same job gives the same bytes.

    Raises:
        InputError: the job is not finished, or one of its files cannot be read.
        MachineError: the report cannot be written.
    """
    require_plain(job, written=True)
    record = read_job(job)
    recover_partial_writes(job / "report")
    with disk_errors(job / "report"):
        return write_record(record, job / "report")


def summary(job: Path) -> list[str]:
    """Summarize a finished job as plain lines: its runs, the metrics by role, the verdict."""
    return render_comparison(read_job(job))


def comparison(folders: Sequence[Path]) -> list[str]:
    """Compare finished runs as plain lines; a job folder stands for all of its runs.

    Raises:
        UsageError: no folder is given.
        InputError: a folder is not a finished run or job.
    """
    if len(folders) == 1 and (folders[0] / "plan.json").is_file():
        return summary(folders[0])
    return render_comparison(read_runs([run for folder in folders for run in run_folders(folder)]))


def write_record(record: JobRecord, folder: Path) -> Path:
    """Write the report of a record, also of single runs, into a folder; return the path of the page."""
    verdict, figures = compare_runs(record), draw_figures(record)
    write_figures(figures, folder / "figures")
    texts = {
        "runs.csv": runs_csv(record),
        "per_class.csv": per_class_csv(record),
        "curves.csv": curves_csv(record),
        "differences.csv": differences_csv(record),
        "scores.json": scores_json(record, verdict),
        "report.md": render_markdown(record, verdict, figures),
        "report.html": render_page(record, verdict, figures),
    }
    for name, text in texts.items():
        write_bytes(folder / name, text.encode("utf-8", "replace"))
    return folder / "report.html"


def scores_json(record: JobRecord, verdict: Verdict) -> str:
    """Combine the verdict and every run's scores.json; above 100 classes without confusion matrices."""
    plain = {
        "format": 1,
        "verdict": {"outcome": verdict.outcome, "sentence": verdict.sentence, **_numbers(verdict)},
        "at_equal_compute": _numbers(at_equal_compute(record)),
        "beside_alone": {
            name: _numbers(found) for name, found in peers_against_alone(record).items()
        },
        "ensembles": [one._asdict() for one in ensemble_gains(record)],
        "runs": {
            run.name: _without_confusion(found)
            if len(record.classes) > CONFUSION_CLASSES
            else found
            for run in (*record.runs, *record.specialists)
            for found in ({**run.scores, "role": run.role},)
        },
    }
    return json.dumps(strict(plain), indent=1, allow_nan=False) + "\n"


def _numbers(verdict: Verdict | None) -> dict[str, object]:
    """Collect the numbers of a comparison; empty if there is none."""
    if verdict is None:
        return {}
    return {
        "split": verdict.split,
        "epoch": "last",
        "images": verdict.images,
        "seeds": len(verdict.pairs),
        "difference": verdict.difference,
        "standard_deviation": verdict.deviation,
        "interval": verdict.interval,
        "interval_over_seeds": verdict.over_seeds,
        "interval_over_images": verdict.over_images,
        "per_seed": [pair._asdict() for pair in verdict.pairs],
    }


def _without_confusion(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_confusion(item) for key, item in value.items() if key != "confusion"}
    return [_without_confusion(item) for item in value] if isinstance(value, list) else value
