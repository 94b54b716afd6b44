"""The sections of a report as plain values: what each table and drawing shows."""

from typing import NamedTuple

import numpy as np

from tutelage.config.roles import STUDENT, Role
from tutelage.reports.record.types import ROLES, SPLIT_WORDS, CostRecord, JobRecord, RunRecord
from tutelage.reports.render.gallery import confused_pairs
from tutelage.reports.render.loss_terms import loss_sections
from tutelage.reports.render.peers import peer_sections
from tutelage.reports.render.section import Section
from tutelage.reports.render.specialists import specialist_sections
from tutelage.reports.render.svg_charts import (
    Bar,
    Heat,
    ReliabilityBar,
    draw_bar,
    draw_heat,
    pool_bins,
)
from tutelage.reports.render.tables import TableCell, roles_of, spread_cell
from tutelage.reports.statistics.plateau import find_plateau
from tutelage.reports.wording import count_of, number, percent, points, role_label

CLASSES_SHOWN = 40


class Tile(NamedTuple):
    """One fact at the top of the page."""

    label: str
    value: str
    unit: str
    note: str
    role: str


class ClassLine(NamedTuple):
    """One class."""

    name: str
    images: int
    recalls: dict[Role, TableCell]
    f1: TableCell
    """Of the student, or else of the first role."""
    difference: TableCell
    """Recall of the student minus that of the control."""
    bar: Bar
    """The difference as a bar."""


class ConfusionPanel(NamedTuple):
    """The drawings of one role, summed over its seeds."""

    role: Role
    title: str
    heat: Heat | None
    """The confusion matrix; None above 30 classes."""
    bins: list[ReliabilityBar]
    ece: str


class Confusion(NamedTuple):
    """A pair of classes that is often confused."""

    label: str
    predicted: str
    counts: dict[Role, str]
    """Images with this label and prediction, mean over seeds."""


def tiles(record: JobRecord) -> list[Tile]:
    """Summarize the accuracy of each role, then the cost of the student beside its teacher."""
    split = record.split()
    made = []
    for role in roles_of(record):
        runs = record.alike(role)
        found = [metrics["accuracy"] for metrics in record.metrics(role)]
        note = f"{SPLIT_WORDS[split]}, last epoch"
        if len(found) > 1:
            spread = percent(float(np.std(found, ddof=1)))
            of = "seeds" if len({run.seed for run in runs}) == len(runs) else "runs"
            note = f"± {spread} over {len(found)} {of}, {note}"
        made.append(Tile(role_label(role), percent(float(np.mean(found))), "%", note, role))
    small = (record.of("student") or record.of("control") or record.runs)[0]
    teacher = next(iter(record.of("teacher")), None)
    big = teacher if teacher is not None and teacher is not small else None
    made.append(_cost_tile("Parameters", "parameters", 1e6, "M", small, big))
    scale, unit = (1e9, "GFLOPs") if small.cost.flops >= 5e8 else (1e6, "MFLOPs")
    made.append(_cost_tile("Compute", "flops", scale, unit, small, big))
    made.append(_cost_tile("Size on disk", "size_bytes", 1e6, "MB", small, big))
    speed = _first_latency(small)
    if speed is not None:
        before = _first_latency(big) if big is not None else None
        note = f"one image, {small.timings.latency[0]['device']}"
        if before is not None:
            note = f"teacher {number(before, 1)} ms, {note}"
        made.append(Tile("Latency", number(speed, 1), "ms", note, ""))
    return made


def class_lines(record: JobRecord) -> tuple[list[ClassLine], bool]:
    """List the classes, and whether some were left out: of more than 40, the widest differences stay."""
    tables = {r: [m["per_class"] for m in record.metrics(r)] for r in roles_of(record)}
    main: Role = "student" if tables.get("student") else next(iter(tables))
    differences = np.zeros(len(record.classes))
    paired = bool(tables.get("student") and tables.get("control"))
    if paired:
        means = [
            np.mean([[row["recall"] for row in table] for table in tables[role]], axis=0)
            for role in ("student", "control")
        ]
        differences = means[0] - means[1]
    extent = float(np.abs(differences).max()) if paired else 0.0
    lines = []
    for index, name in enumerate(record.classes):
        difference = float(differences[index])
        lines.append(
            ClassLine(
                name=name,
                images=tables[main][0][index]["images"],
                recalls={
                    role: spread_cell([table[index]["recall"] for table in rows], 1, 100)
                    for role, rows in tables.items()
                },
                f1=spread_cell([table[index]["f1"] for table in tables[main]], 1, 100),
                difference=TableCell(points(difference), difference) if paired else TableCell(""),
                bar=draw_bar(difference, extent),
            )
        )
    if len(lines) <= CLASSES_SHOWN:
        return lines, False
    widest = np.argsort(-np.abs(differences), kind="stable")[:CLASSES_SHOWN]
    return [lines[index] for index in sorted(widest, key=lambda i: -differences[i])], True


def panels(record: JobRecord) -> list[ConfusionPanel]:
    """Sum confusion matrices and reliability bins over the seeds of each role."""
    made = []
    for role in roles_of(record):
        found = record.metrics(role)
        seeds = f", {len(found)} seeds together" if len(found) > 1 else ""
        total = np.sum([m["confusion"] for m in found], axis=0)
        made.append(
            ConfusionPanel(
                role=role,
                title=role_label(role) + seeds,
                heat=draw_heat(total, record.classes),
                bins=pool_bins(found),
                ece=spread_cell([m["ece"] for m in found], 1, 100).text,
            )
        )
    return made


def confusions(record: JobRecord, limit: int = 10) -> list[Confusion]:
    """List the most confused pairs of the student (else of the first role), with every role's count."""
    totals = {
        role: np.mean([m["confusion"] for m in record.metrics(role)], axis=0)
        for role in roles_of(record)
    }
    main = totals[STUDENT] if STUDENT in totals else next(iter(totals.values()))
    ranked = confused_pairs(np.rint(1000 * main).astype(np.int64), limit)
    digits = {role: 1 if len(record.alike(role)) > 1 else 0 for role in totals}
    return [
        Confusion(
            record.classes[row],
            record.classes[column],
            {role: number(float(t[row, column]), digits[role]) for role, t in totals.items()},
        )
        for row, column, _ in ranked
    ]


def plateau_sentences(record: JobRecord) -> list[str]:
    """State when each role's validation accuracy levels off, student first; mean curve and each seed."""
    sentences = []
    for role in sorted(ROLES, key=lambda role: ("student", "control", *ROLES).index(role)):
        runs = [run for run in record.alike(role) if run.journal]
        if not runs:
            continue
        length = min(len(run.journal) for run in runs)
        rows = np.array([[e.val.accuracy for e in run.journal[:length]] for run in runs])
        whole = find_plateau(rows.mean(axis=0), runs[0].last.val["images"])
        if whole is None:
            sentences.append(f"{role_label(role)}: {count_of(length, 'epoch')}, too few to tell.")
            continue
        level = f"{percent(whole.level)} %"
        if whole.epoch is None:
            text = f"still rising at epoch {length}, near {level}"
        else:
            text = f"levels off at epoch {whole.epoch} of {length}, at {level}"
        each = [find_plateau(row, runs[0].last.val["images"]) for row in rows]
        if len(each) > 1:
            epochs = [str(p.epoch) if p and p.epoch else "still rising" for p in each]
            text += f" (mean of {len(each)} seeds; by seed: {', '.join(epochs)})"
        sentences.append(f"{role_label(role)}: {text}.")
    return sentences


def extra_sections(record: JobRecord) -> list[Section]:
    """Describe what only some jobs have: peers, specialists, loss terms."""
    return [*peer_sections(record), *specialist_sections(record), *loss_sections(record)]


def _cost_tile(
    label: str, field: str, unit_size: float, unit: str, small: RunRecord, big: RunRecord | None
) -> Tile:
    value = float(getattr(small.cost, field))
    note = small.network
    if big is not None and value > 0:
        note = f"teacher {_cost(big.cost, field, unit_size)}, {_ratio(big, field, value)}"
    return Tile(label, _cost(small.cost, field, unit_size), unit, note, "")


def _cost(cost: CostRecord, field: str, unit_size: float) -> str:
    value = float(getattr(cost, field)) / unit_size
    return number(value, 1 if value >= 100 else 2 if value >= 0.1 else 4)


def _ratio(big: RunRecord, field: str, value: float) -> str:
    return f"{number(float(getattr(big.cost, field)) / value, 1)} times as much"


def _first_latency(run: RunRecord) -> float | None:
    return next((row["p50_ms"] for row in run.timings.latency if row["batch"] == 1), None)
