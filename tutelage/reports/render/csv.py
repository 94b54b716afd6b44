"""Render the report's CSV files; no cell can be read as a formula."""

import csv
import io
import math
from collections.abc import Iterable, Sequence

from tutelage.reports.record.types import JobRecord, RunRecord
from tutelage.reports.render.tables import metric_value
from tutelage.reports.wording import csv_cell

Value = str | int | float | None


def render_csv(head: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """Render a CSV text: names made safe, numbers in full, unknown values empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in head])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def runs_csv(record: JobRecord) -> str:
    """Render one row per run: last and best epoch on both splits, cost and time."""
    measured = ("accuracy", "macro_f1", "top5", "nll", "brier", "ece")
    head = ["run", "role", "seed", "model", "weights", "epochs", "best_epoch"]
    head += [f"{e}_{s}_{m}" for e in ("last", "best") for s in ("val", "test") for m in measured]
    head += ["agreement", "kl", "parameters", "flops", "size_bytes", "total_seconds"]
    rows = []
    for run in record.runs:
        last = run.last.on(record.split())
        fidelity = last["fidelity"] if last is not None else None
        row: list[Value] = [run.name, run.role, run.seed, run.model, run.weights, run.epochs]
        row.append(run.best.epoch)
        for scored in (run.last, run.best):
            for metrics in (scored.val, scored.test):
                row += [metric_value(metrics, name) for name in measured]
        row += [fidelity["agreement"], fidelity["kl"]] if fidelity is not None else [None, None]
        row += [run.cost.parameters, run.cost.flops, run.cost.size_bytes]
        rows.append([*row, run.timings.total_seconds])
    return render_csv(head, rows)


def per_class_csv(record: JobRecord) -> str:
    """Render one row per run and class, after the last epoch, on the split of the report."""
    rows: list[Sequence[Value]] = [
        [run.name, run.role, run.seed, name, row["images"], row["precision"], row["recall"], row["f1"]]
        for run in record.runs
        if (metrics := run.last.on(record.split())) is not None
        for name, row in zip(record.classes, metrics["per_class"], strict=True)
    ]  # fmt: skip
    head = ["run", "role", "seed", "class", "images", "precision", "recall", "f1"]
    return render_csv(head, rows)


def curves_csv(record: JobRecord) -> str:
    """Render one row per run and epoch, every loss term in its own column."""
    terms = sorted({name for run in record.runs for e in run.journal for name in e.train.terms})
    fields = ("epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    rows: list[Sequence[Value]] = [
        [run.name, run.role, run.seed, e.epoch, e.lr, *e.train[:2], *e.val[:2],
         *(e.train.terms.get(name) for name in terms)]
        for run in record.runs
        for e in run.journal
    ]  # fmt: skip
    return render_csv(["run", "role", "seed", *fields, *(f"term_{t}" for t in terms)], rows)


def differences_csv(record: JobRecord) -> str:
    """Render one row per labelled image: 1 where a run is correct, 0 where wrong, empty if not measured."""
    split = record.split()
    correct = {run.name: _correct(run, record) for run in record.runs}
    labels: dict[int, int] = {}
    for run in record.runs:
        table = run.predictions[split].labelled()
        labels.update(zip(table.ids.tolist(), table.labels.tolist(), strict=True))
    files = record.data.files if record.data is not None else {}
    rows: list[Sequence[Value]] = [
        [
            number,
            files.get(number, ""),
            record.classes[labels[number]],
            *(correct[run.name].get(number) for run in record.runs),
        ]
        for number in sorted(labels)
    ]
    return render_csv(["id", "file", "class", *(run.name for run in record.runs)], rows)


def _correct(run: RunRecord, record: JobRecord) -> dict[int, int]:
    table = run.predictions[record.split()].labelled()
    return dict(zip(table.ids.tolist(), table.correct().astype(int).tolist(), strict=True))


def _cell(value: Value) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return csv_cell(value) if isinstance(value, str) else repr(value)
