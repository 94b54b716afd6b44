"""Render a comparison as plain lines, for `tutelage compare` and the end of `tutelage run`."""

from collections.abc import Sequence

from tutelage.reports.record.types import SPLIT_WORDS, JobRecord
from tutelage.reports.render.tables import (
    accuracy_with_interval,
    comparison_table,
    metric_value,
    roles_of,
)
from tutelage.reports.statistics.secondary import secondary_sentences
from tutelage.reports.statistics.verdict import compare_runs
from tutelage.reports.wording import count_of, number, role_label, short

SHOWN = ("accuracy", "best_accuracy", "macro_f1", "nll", "ece", "agreement")


def render_comparison(record: JobRecord) -> list[str]:
    """Render the runs, the metrics by role, and the verdict; no line is wider than needed."""
    split = record.split()
    images = int(metric_value(record.runs[0].last.on(split), "images") or 0)
    on = count_of(images, f"{SPLIT_WORDS[split]} image")
    runs = [["run", "network", "seed", "accuracy %", "95 % interval", "best %", "M", "GFLOPs"]]
    for run in record.runs:
        last = accuracy_with_interval(run.last.on(split))
        best = accuracy_with_interval(run.best.on(split))
        runs.append(
            [short(run.name, 24), short(run.network, 24), str(run.seed),
             last.text, last.note, best.text, number(run.cost.parameters / 1e6, 2),
             number(run.cost.flops / 1e9, 2)]
        )  # fmt: skip
    verdict = compare_runs(record)
    roles = roles_of(record)
    lines = [f"last epoch, {on} (best: best epoch on validation)", "", *align(runs)]
    if len(roles) > 1:
        metrics = [["", *(role_label(role).lower() for role in roles), "student - control"]]
        for line in comparison_table(record, verdict):
            if line.key in SHOWN:
                cells = [line.cells[role].text for role in roles]
                metrics.append([line.label, *cells, line.difference.text])
        lines += ["", *align(metrics)]
    return [*lines, "", verdict.sentence, *secondary_sentences(record)]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of cells as lines: the first two columns to the left, the others to the right.

    >>> align([["run", "of", "n"], ["a", "b", "10"]])
    ['run  of   n', 'a    b   10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
