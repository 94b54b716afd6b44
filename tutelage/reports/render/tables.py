"""The report's tables as labelled cells, shared by the page, the Markdown and the console."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from tutelage.config.roles import PEER_CONTROL, Role
from tutelage.reports.record.types import ROLES, SPLIT_WORDS, JobRecord, RunRecord, Split
from tutelage.reports.render.published import Published, published_row
from tutelage.reports.statistics.verdict import Verdict, decimals_for
from tutelage.reports.wording import NONE, number, percent, points, role_label
from tutelage.storage.scores import Metrics, measured_classes


class TableCell(NamedTuple):
    """A number as text."""

    text: str
    value: float | None = None
    """The number itself, for machines."""
    note: str = ""
    """Small print under it."""


class TableLine(NamedTuple):
    """One metric by role."""

    key: str
    """Its name for machines."""
    label: str
    cells: dict[Role, TableCell]
    difference: TableCell
    """Student minus control."""


class PublishedLine(NamedTuple):
    """One row of the published form."""

    role: Role
    measured: bool
    """Whether its numbers were measured in this job."""
    cells: tuple[str, ...]
    """As in `PUBLISHED_HEAD`."""


PUBLISHED_HEAD = (
    "Network", "", "Best accuracy (%)", "Size (MB)", "Size (KiB / 1000)", "Epochs", "Parameters (M)",
    "FLOPs (G)",
)  # fmt: skip
Getter = Callable[[RunRecord], float | None]


def roles_of(record: JobRecord) -> tuple[Role, ...]:
    """List the roles that have runs, in the order of `ROLES`, except peers trained alone."""
    return tuple(role for role in ROLES if record.of(role) and role != PEER_CONTROL)


def comparison_table(record: JobRecord, verdict: Verdict) -> list[TableLine]:
    """Tabulate every metric by role: mean and standard deviation over seeds, and student minus control."""
    split = record.split()
    measured: Mapping[str, Any] = next(
        (found for run in record.runs if (found := run.last.on(split))), {}
    )
    present = measured_classes(measured)
    some = f", {present}" if present else ""
    lines = [
        _line(record, "accuracy", "Accuracy, last epoch (%)", _last("accuracy", split), 1, 100),
        _line(record, "best_accuracy", "Accuracy, best epoch (%)", _best(split), 1, 100),
        _line(record, "macro_f1", f"Macro-F1 (%){some}", _last("macro_f1", split), 1, 100),
        _line(record, "top5", "Top-5 accuracy (%)", _last("top5", split), 1, 100),
        _line(record, "nll", "Negative log-likelihood (nats)", _last("nll", split), 4),
        _line(record, "brier", "Brier score", _last("brier", split), 4),
        _line(record, "ece", "Calibration error, ECE (%)", _last("ece", split), 1, 100),
        _line(
            record, "agreement", "Agreement with teacher (%)", _fidelity("agreement", split), 1, 100
        ),
        _line(record, "kl", "KL from teacher (nats)", _fidelity("kl", split), 4),
    ]
    for batch in sorted({row["batch"] for run in record.runs for row in run.timings.latency}):
        keys: tuple[Literal["p50_ms", "p95_ms"], ...] = ("p50_ms", "p95_ms")
        for key, word in zip(keys, ("median", "95th percentile"), strict=True):
            label = f"Latency, batch {batch}, {word} (ms)"
            lines.append(_line(record, f"latency_{batch}_{key}", label, _latency(batch, key), 2))
    lines = [line for line in lines if any(c.value is not None for c in line.cells.values())]
    if verdict.interval is not None:
        digits = decimals_for(verdict.interval)
        note = "95 % interval " + " to ".join(points(bound, digits) for bound in verdict.interval)
        shown = TableCell(points(verdict.difference or 0.0, digits), verdict.difference, note)
        lines[0] = lines[0]._replace(difference=shown)
    return lines


def published_form(record: JobRecord) -> list[PublishedLine]:
    """Tabulate the columns of the published table by role: measured, and published where there is a row."""
    lines = []
    for role, runs in _by_network(record):
        cost, row = runs[0].cost, published_row(runs[0])
        name = f"{role_label(role)}, {runs[0].network}"
        accuracy = spread_cell([run.best.val["accuracy"] for run in runs], 1, 100).text
        sizes = number(cost.size_bytes / 1e6, 2), number(cost.size_bytes / 1024 / 1000, 2)
        counts = number(cost.parameters / 1e6, 2), number(cost.flops / 1e9, 2)
        measured = (name, "measured", accuracy, *sizes, str(runs[0].epochs), *counts)
        lines.append(PublishedLine(role, True, measured))
        if row is not None:
            lines += _published_lines(role, runs[0], row)
    return lines


def _by_network(record: JobRecord) -> list[tuple[Role, list[RunRecord]]]:
    """Group the runs by role and network: several teachers, or assistants, may be different networks."""
    found: dict[tuple[Role, str], list[RunRecord]] = {}
    for role in roles_of(record):
        for run in record.of(role):
            found.setdefault((role, run.model), []).append(run)
    return [(role, runs) for (role, _), runs in found.items()]


def spread_cell(values: list[float], decimals: int, scale: float = 1.0) -> TableCell:
    """Format the mean of some values and, from two on, their standard deviation."""
    if not values:
        return TableCell(NONE)
    scaled = scale * np.array(values)
    text = number(float(scaled.mean()), decimals)
    if len(values) > 1 and math.isfinite(float(scaled.std(ddof=1))):
        text += f" ± {number(float(scaled.std(ddof=1)), decimals)}"
    return TableCell(text, _mean(values))


def metric_value(metrics: Metrics | None, name: str) -> float | None:
    """Return one number of the metrics by its field name; None if there is none."""
    value = None if metrics is None else cast("dict[str, Any]", metrics)[name]
    return None if value is None else float(value)


def accuracy_with_interval(metrics: Metrics | None) -> TableCell:
    """Format one run's accuracy in per cent, with its Wilson interval as a note."""
    if metrics is None:
        return TableCell(NONE)
    interval = " to ".join(map(percent, metrics["accuracy_interval"]))
    return TableCell(percent(metrics["accuracy"]), metrics["accuracy"], interval)


def chosen_note(split: Split) -> str:
    """Explain how the best epoch was chosen."""
    on = "these images, so its numbers are a little too high" if split == "val" else "validation"
    return (
        f"Numbers are on the {SPLIT_WORDS[split]} split. The best epoch was selected on {on}; the last epoch "
        "was not selected."
    )


def _published_lines(role: Role, run: RunRecord, row: Published) -> list[PublishedLine]:
    name = f"{role_label(role)}, {row.network}"
    counts = _in_units(run.cost.parameters_1000, 1e6), _in_units(run.cost.flops_1000_224, 1e9)
    counted = (f"{name}, 1000 classes", "counted here, at 224 x 224", *[NONE] * 4, *counts)
    published = (
        name, "published", number(row.best_accuracy_percent, 1), NONE, number(row.size_mb, 1),
        str(row.epochs), number(row.parameters_million, 2), number(row.gflops, 2),
    )  # fmt: skip
    return [PublishedLine(role, False, counted), PublishedLine(role, False, published)]


def _in_units(value: int | None, unit: float) -> str:
    return NONE if value is None else number(value / unit, 2)


def _line(
    record: JobRecord, key: str, label: str, get: Getter, decimals: int, scale: float = 1.0
) -> TableLine:
    found: dict[Role, list[float]] = {
        role: [value for run in record.alike(role) if (value := get(run)) is not None]
        for role in roles_of(record)
    }
    cells = {role: spread_cell(values, decimals, scale) for role, values in found.items()}
    difference = TableCell(NONE)
    if found.get("student") and found.get("control"):
        value = _mean(found["student"]) - _mean(found["control"])
        difference = TableCell(points(value if scale == 100 else value / 100, decimals), value)
    return TableLine(key, label, cells, difference)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _last(name: str, split: Split) -> Getter:
    return lambda run: metric_value(run.last.on(split), name)


def _best(split: Split) -> Getter:
    return lambda run: metric_value(run.best.on(split), "accuracy")


def _fidelity(name: Literal["agreement", "kl"], split: Split) -> Getter:
    def get(run: RunRecord) -> float | None:
        metrics = run.last.on(split)
        return metrics["fidelity"][name] if metrics and metrics["fidelity"] else None

    return get


def _latency(batch: int, key: Literal["p50_ms", "p95_ms"]) -> Getter:
    def get(run: RunRecord) -> float | None:
        return next((row[key] for row in run.timings.latency if row["batch"] == batch), None)

    return get
