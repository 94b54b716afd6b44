"""The page's sections as plain values: what each table and drawing shows."""

from typing import NamedTuple

import numpy as np

from tutelage.reports.record.types import ROLES, SPLIT_WORDS, CostRecord, JobRecord, Role, RunRecord
from tutelage.reports.render.gallery import confused_pairs
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
from tutelage.reports.wording import count_of, number, percent, points

CLASSES_SHOWN = 40


class Tile(NamedTuple):
    """One fact at the top of the page."""

    label: str
    value: str
    unit: str
    note: str
    role: str


class ClassLine(NamedTuple):
    """One class: recall by role, and student minus control."""

    name: str
    images: int
    recalls: dict[Role, TableCell]
    f1: TableCell
    difference: TableCell
    bar: Bar


class ConfusionPanel(NamedTuple):
    """What is drawn for one role: confusion matrix (None above 30 classes) and reliability."""

    role: Role
    title: str
    heat: Heat | None
    bins: list[ReliabilityBar]
    ece: str


class Confusion(NamedTuple):
    """One pair of classes that is often taken for one another, with its count by role."""

    label: str
    predicted: str
    counts: dict[Role, str]


def tiles(record: JobRecord) -> list[Tile]:
    """Accuracy of each role, then cost: student first, teacher beside it."""
    split = record.split()
    made = []
    for role in roles_of(record):
        runs = record.alike(role)
        found = [m.accuracy for run in runs if (m := run.last.on(split)) is not None]
        note = f"{SPLIT_WORDS[split]}, last epoch"
        if len(found) > 1:
            spread = percent(float(np.std(found, ddof=1)))
            of = "seeds" if len({run.seed for run in runs}) == len(runs) else "runs"
            note = f"± {spread} over {len(found)} {of}, {note}"
        made.append(Tile(role.capitalize(), percent(float(np.mean(found))), "%", note, role))
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
        note = f"one image, {small.timings.latency[0].device}"
        if before is not None:
            note = f"teacher {number(before, 1)} ms, {note}"
        made.append(Tile("Latency", number(speed, 1), "ms", note, ""))
    return made


def class_lines(record: JobRecord) -> tuple[list[ClassLine], bool]:
    """Recall by class, and whether some were left out: above 40, the widest differences stay."""
    split = record.split()
    tables = {
        role: [m.per_class for run in record.alike(role) if (m := run.last.on(split)) is not None]
        for role in roles_of(record)
    }
    main: Role = "student" if tables.get("student") else next(iter(tables))
    differences = np.zeros(len(record.classes))
    paired = bool(tables.get("student") and tables.get("control"))
    if paired:
        means = [
            np.mean([[row.recall for row in table] for table in tables[role]], axis=0)
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
                images=tables[main][0][index].images,
                recalls={
                    role: spread_cell([table[index].recall for table in rows], 1, 100)
                    for role, rows in tables.items()
                },
                f1=spread_cell([table[index].f1 for table in tables[main]], 1, 100),
                difference=TableCell(points(difference), difference) if paired else TableCell(""),
                bar=draw_bar(difference, extent),
            )
        )
    if len(lines) <= CLASSES_SHOWN:
        return lines, False
    widest = np.argsort(-np.abs(differences), kind="stable")[:CLASSES_SHOWN]
    return [lines[index] for index in sorted(widest, key=lambda i: -differences[i])], True


def panels(record: JobRecord) -> list[ConfusionPanel]:
    """Confusion and reliability by role, summed over its seeds."""
    split = record.split()
    made = []
    for role in roles_of(record):
        found = [m for run in record.alike(role) if (m := run.last.on(split)) is not None]
        seeds = f", {len(found)} seeds together" if len(found) > 1 else ""
        total = np.sum([m.confusion for m in found], axis=0)
        made.append(
            ConfusionPanel(
                role=role,
                title=role.capitalize() + seeds,
                heat=draw_heat(total, record.classes),
                bins=pool_bins(found),
                ece=spread_cell([m.ece for m in found], 1, 100).text,
            )
        )
    return made


def confusions(record: JobRecord, limit: int = 10) -> list[Confusion]:
    """The most confused pairs of the student (else of the first role), with every role's count."""
    split = record.split()
    totals = {
        role: np.mean(
            [m.confusion for run in record.alike(role) if (m := run.last.on(split)) is not None],
            axis=0,
        )
        for role in roles_of(record)
    }
    main = totals["student"] if "student" in totals else next(iter(totals.values()))
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
    """When each role's validation accuracy levels off, student first; mean curve and each seed."""
    sentences = []
    for role in sorted(ROLES, key=lambda role: ("student", "control", *ROLES).index(role)):
        runs = [run for run in record.alike(role) if run.journal]
        if not runs:
            continue
        length = min(len(run.journal) for run in runs)
        rows = np.array([[e.val_accuracy for e in run.journal[:length]] for run in runs])
        whole = find_plateau(rows.mean(axis=0), runs[0].last.val.images)
        if whole is None:
            sentences.append(f"{role.capitalize()}: {count_of(length, 'epoch')}, too few to tell.")
            continue
        level = f"{percent(whole.level)} %"
        if whole.epoch is None:
            text = f"still rising at epoch {length}, near {level}"
        else:
            text = f"levels off at epoch {whole.epoch} of {length}, at {level}"
        each = [find_plateau(row, runs[0].last.val.images) for row in rows]
        if len(each) > 1:
            epochs = [str(p.epoch) if p and p.epoch else "still rising" for p in each]
            text += f" (mean of {len(each)} seeds; by seed: {', '.join(epochs)})"
        sentences.append(f"{role.capitalize()}: {text}.")
    return sentences


def _cost_tile(
    label: str, field: str, unit_size: float, unit: str, small: RunRecord, big: RunRecord | None
) -> Tile:
    value = float(getattr(small.cost, field))
    note = small.published_name or small.model
    if big is not None and value > 0:
        note = f"teacher {_cost(big.cost, field, unit_size)}, {_ratio(big, field, value)}"
    return Tile(label, _cost(small.cost, field, unit_size), unit, note, "")


def _cost(cost: CostRecord, field: str, unit_size: float) -> str:
    value = float(getattr(cost, field)) / unit_size
    return number(value, 1 if value >= 100 else 2 if value >= 0.1 else 4)


def _ratio(big: RunRecord, field: str, value: float) -> str:
    return f"{number(float(getattr(big.cost, field)) / value, 1)} times as much"


def _first_latency(run: RunRecord) -> float | None:
    return next((row.p50_ms for row in run.timings.latency if row.batch == 1), None)
