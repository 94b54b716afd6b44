"""The report's tables as labelled cells, shared by the page, the Markdown, and the console."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tutelage.reports.record.types import (
    ROLES,
    SPLIT_WORDS,
    JobRecord,
    MetricsRecord,
    Role,
    RunRecord,
    Split,
)
from tutelage.reports.render.published import Published, published_row
from tutelage.reports.statistics.verdict import Verdict, decimals_for
from tutelage.reports.wording import NONE, number, percent, points


class TableCell(NamedTuple):
    """A number as text, with what a machine may read; `note` is small print under it."""

    text: str
    value: float | None = None
    note: str = ""


class TableLine(NamedTuple):
    """One line of a table: a key for machines, a label, a cell for each role, the difference."""

    key: str
    label: str
    cells: dict[Role, TableCell]
    difference: TableCell


class PublishedLine(NamedTuple):
    """One row of the published form; `kind` says whether it was measured or published."""

    role: Role
    network: str
    kind: str
    accuracy: TableCell
    size_mb: str
    size_kib: str
    epochs: str
    parameters: str
    flops: str


Getter = Callable[[RunRecord], float | None]


def roles_of(record: JobRecord) -> tuple[Role, ...]:
    """The roles that are compared and have runs, in the order of `ROLES`.

    What companions reach alone stands where they are told.
    """
    return tuple(role for role in ROLES if record.of(role) and role != "peer-control")


def comparison_table(record: JobRecord, verdict: Verdict) -> list[TableLine]:
    """Every metric by role: mean and standard deviation over seeds, and student minus control."""
    split = record.split()
    lines = [
        _share_line(record, "accuracy", "Accuracy, last epoch (%)", _last("accuracy", split)),
        _share_line(record, "best_accuracy", "Accuracy, best epoch (%)", _best(split)),
        _share_line(record, "macro_f1", "Macro-F1 (%)", _last("macro_f1", split)),
        _share_line(record, "top5", "Top-5 accuracy (%)", _last("top5", split)),
        _line(record, "nll", "Negative log-likelihood (nats)", _last("nll", split), 4),
        _line(record, "brier", "Brier score", _last("brier", split), 4),
        _share_line(record, "ece", "Calibration error, ECE (%)", _last("ece", split)),
        _share_line(record, "agreement", "Agreement with teacher (%)", _agreement(split)),
        _line(record, "kl", "KL from teacher (nats)", _kl(split), 4),
    ]
    batches = sorted({row.batch for run in record.runs for row in run.timings.latency})
    for batch in batches:
        for key, word in (("p50_ms", "median"), ("p95_ms", "95th percentile")):
            label = f"Latency, batch {batch}, {word} (ms)"
            get = _latency(batch, key)
            lines.append(_line(record, f"latency_{batch}_{key}", label, get, 2))
    lines = [line for line in lines if any(c.value is not None for c in line.cells.values())]
    if verdict.interval is not None:
        digits = decimals_for(verdict.interval)
        bounds = (points(bound, digits) for bound in verdict.interval)
        note = "95 % interval " + " to ".join(bounds)
        shown = TableCell(points(verdict.difference or 0.0, digits), verdict.difference, note)
        lines[0] = lines[0]._replace(difference=shown)
    return lines


def published_form(record: JobRecord) -> list[PublishedLine]:
    """The columns of the published table, by role: measured, and published where there is a row."""
    lines = []
    for role, runs in _by_network(record):
        run, row = runs[0], published_row(runs[0])
        spread = spread_cell([r.best.val.accuracy for r in runs], 1, 100)
        megabytes, kib = run.cost.size_bytes / 1e6, run.cost.size_bytes / 1024 / 1000
        lines.append(
            PublishedLine(
                role=role,
                network=run.published_name or run.model,
                kind="measured",
                accuracy=spread._replace(value=_mean([r.best.val.accuracy for r in runs])),
                size_mb=number(megabytes, 2),
                size_kib=number(kib, 2),
                epochs=str(run.epochs),
                parameters=number(run.cost.parameters / 1e6, 2),
                flops=number(run.cost.flops / 1e9, 2),
            )
        )
        if row is not None:
            lines += _published_lines(role, run, row)
    return lines


def _by_network(record: JobRecord) -> list[tuple[Role, list[RunRecord]]]:
    """The runs of each role and network: several teachers, and assistants, need not be alike."""
    found: dict[tuple[Role, str], list[RunRecord]] = {}
    for role in roles_of(record):
        for run in record.of(role):
            found.setdefault((role, run.model), []).append(run)
    return [(role, runs) for (role, _), runs in found.items()]


def spread_cell(values: list[float], decimals: int, scale: float = 1.0) -> TableCell:
    """Mean and, over two seeds or more, standard deviation."""
    if not values:
        return TableCell(NONE)
    scaled = scale * np.array(values)
    text = number(float(scaled.mean()), decimals)
    if len(values) > 1 and math.isfinite(float(scaled.std(ddof=1))):
        text += f" ± {number(float(scaled.std(ddof=1)), decimals)}"
    return TableCell(text, _mean(values))


def metric_value(metrics: MetricsRecord | None, name: str) -> float | None:
    """One number of the metrics by its field name; None where there is none."""
    value = None if metrics is None else getattr(metrics, name)
    return None if value is None else float(value)


def accuracy_with_interval(metrics: MetricsRecord | None) -> TableCell:
    """One run's accuracy in per cent with its Wilson interval."""
    if metrics is None:
        return TableCell(NONE)
    low, high = metrics.accuracy_interval
    return TableCell(
        percent(metrics.accuracy), metrics.accuracy, f"{percent(low)} to {percent(high)}"
    )


def chosen_note(split: Split) -> str:
    """What must be said of best-epoch numbers."""
    same = "the same images" if split == "val" else "the validation images"
    return (
        f"Last epoch: chosen on nothing. Best epoch: chosen on {same}"
        + (", so that number is a little too high." if split == "val" else ".")
        + f" Numbers are on the {SPLIT_WORDS[split]} split."
    )


def _published_lines(role: Role, run: RunRecord, row: Published) -> list[PublishedLine]:
    return [
        PublishedLine(
            role=role,
            network=f"{row.network}, 1000 classes",
            kind="counted here, at 224 x 224",
            accuracy=TableCell(NONE),
            size_mb=NONE,
            size_kib=NONE,
            epochs=NONE,
            parameters=_in_units(run.cost.parameters_1000, 1e6),
            flops=_in_units(run.cost.flops_1000_224, 1e9),
        ),
        PublishedLine(
            role=role,
            network=row.network,
            kind="published",
            accuracy=TableCell(
                number(row.best_accuracy_percent, 1), row.best_accuracy_percent / 100
            ),
            size_mb=NONE,
            size_kib=number(row.size_mb, 1),
            epochs=str(row.epochs),
            parameters=number(row.parameters_million, 2),
            flops=number(row.gflops, 2),
        ),
    ]


def _in_units(value: int | None, unit: float) -> str:
    return NONE if value is None else number(value / unit, 2)


def _share_line(record: JobRecord, key: str, label: str, get: Getter) -> TableLine:
    return _line(record, key, label, get, 1, 100)


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
        text = points(value, decimals) if scale == 100 else _signed(value, decimals)
        difference = TableCell(text, value)
    return TableLine(key, label, cells, difference)


def _signed(value: float, decimals: int) -> str:
    return points(value / 100, decimals)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _last(name: str, split: Split) -> Getter:
    return lambda run: metric_value(run.last.on(split), name)


def _best(split: Split) -> Getter:
    return lambda run: metric_value(run.best.on(split), "accuracy")


def _agreement(split: Split) -> Getter:
    def get(run: RunRecord) -> float | None:
        metrics = run.last.on(split)
        return metrics.fidelity.agreement if metrics and metrics.fidelity else None

    return get


def _kl(split: Split) -> Getter:
    def get(run: RunRecord) -> float | None:
        metrics = run.last.on(split)
        return metrics.fidelity.kl if metrics and metrics.fidelity else None

    return get


def _latency(batch: int, key: str) -> Getter:
    def get(run: RunRecord) -> float | None:
        rows = [row for row in run.timings.latency if row.batch == batch]
        return float(getattr(rows[0], key)) if rows else None

    return get
