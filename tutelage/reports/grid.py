"""Cells of a sweep -> a page: each objective beside the control without a teacher, and beside KD."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np

from tutelage.files import write_bytes
from tutelage.reports.cells import Cell, read_cells
from tutelage.reports.compare import SEEDS_NEEDED
from tutelage.reports.intervals import Interval, bootstrap_interval, t_interval
from tutelage.reports.wording import markdown_cell, points

_FEW = "-"


class Difference(NamedTuple):
    """Mean over seeds of two objectives' accuracy apart, in shares; its interval from two seeds on."""

    mean: float
    interval: Interval | None
    seeds: int


def write_grid(folder: Path) -> Path:
    """Write the page of a folder of cells, as a Markdown file beside it. Returns the file."""
    path = folder.parent / f"{folder.name}.md"
    write_bytes(path, grid(read_cells(folder)).encode())
    return path


def grid(cells: Sequence[Cell]) -> str:
    """The page as Markdown: a table, what helped, what did not, and where the figures come from."""
    teachers = [cell for cell in cells if cell.objective == "teacher"]
    by_name: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.objective != "teacher":
            by_name.setdefault(cell.objective, []).append(cell)
    controls = by_name.get("control", [])
    order = sorted(by_name, key=lambda name: (name != "control", -_mean(by_name[name]), name))
    lines = [*_head(cells, teachers), "", *_table(order, by_name, controls), ""]
    lines += _verdicts(order, by_name, controls)
    lines += ["", *_origin(cells, teachers)]
    return "\n".join(lines) + "\n"


def difference(these: Sequence[Cell], those: Sequence[Cell]) -> Difference | None:
    """Accuracy apart, seed by seed; None where no seed is in both, with the same network, budget and images.

    The interval is the wider of Student's t over seeds and the bootstrap over images, as in a report.
    """
    other = {_fair(cell): cell for cell in those}
    pairs = [(cell, other[_fair(cell)]) for cell in these if _fair(cell) in other]
    if not pairs:
        return None
    apart = np.array([one.accuracy - two.accuracy for one, two in pairs])
    if len(pairs) < 2:
        return Difference(float(apart.mean()), None, 1)
    by_image = np.mean([one.right.astype(float) - two.right for one, two in pairs], axis=0)
    over_seeds, over_images = t_interval(apart), bootstrap_interval(by_image)
    wider = max((over_seeds, over_images), key=lambda interval: interval.width)
    return Difference(float(apart.mean()), wider, len(pairs))


def _fair(cell: Cell) -> tuple[int | str, ...]:
    """What two cells have in common that may be compared."""
    return cell.seed, cell.model, cell.epochs, cell.image_size, len(cell.right)


def _head(cells: Sequence[Cell], teachers: Sequence[Cell]) -> list[str]:
    students = [cell for cell in cells if cell.objective != "teacher"]
    shown = students or list(cells)
    facts = [_one_of(str(getattr(cell, field)) for cell in shown) for field in ("model", "epochs")]
    images = _one_of(str(len(cell.right)) for cell in shown)
    lines = ["# Objectives side by side", ""]
    lines.append(
        f"Student {facts[0]}, {facts[1]} epochs at {_one_of(str(c.image_size) for c in shown)} pixels; last "
        f"epoch on {images} validation images. The control is the same student, seed by seed, without a "
        "teacher."
    )
    if teachers:
        best = ", ".join(f"{100 * cell.accuracy:.1f} %" for cell in teachers)
        lines.append(f"Teacher {_one_of(cell.model for cell in teachers)}: {best}.")
    return lines


def _table(
    order: Sequence[str], by_name: dict[str, list[Cell]], controls: Sequence[Cell]
) -> list[str]:
    lines = [
        "| objective | seeds | accuracy % | less control | 95 % interval | less kd | 95 % interval | "
        "agrees with teacher % | ECE % | s an epoch |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    kd = by_name.get("kd", [])
    for name in order:
        own = by_name[name]
        to_control = None if name == "control" else difference(own, controls)
        to_kd = None if name in ("control", "kd") else difference(own, kd)
        agreement = [cell.agreement for cell in own if cell.agreement is not None]
        agrees = f"{100 * mean(agreement):.1f}" if agreement else _FEW
        lines.append(
            f"| {markdown_cell(name)} | {len(own)} | {_spread(own)} | {_apart(to_control)} | "
            f"{_apart(to_kd)} | {agrees} | "
            f"{100 * mean(c.ece for c in own):.1f} | {mean(c.seconds_per_epoch for c in own):.0f} |"
        )
    return lines


def _verdicts(
    order: Sequence[str], by_name: dict[str, list[Cell]], controls: Sequence[Cell]
) -> list[str]:
    groups: dict[str, list[str]] = {
        "Better than no teacher, beyond chance": [],
        "Cannot be told from no teacher": [],
        "Worse than no teacher, beyond chance": [],
        f"Fewer than {SEEDS_NEEDED} seeds, so nothing can be said": [],
    }
    for name in order:
        if name != "control":
            place = _place(difference(by_name[name], controls))
            groups[list(groups)[place]].append(name)
    # Beside KD only what stands out is named: the table has the rest.
    beside_kd: dict[str, list[str]] = {
        "Better than kd, beyond chance": [],
        "Worse than kd, beyond chance": [],
    }
    for name in order:
        place = _place(difference(by_name[name], by_name.get("kd", [])))
        if name not in ("control", "kd") and place in (_BETTER, _WORSE):
            beside_kd[list(beside_kd)[place == _WORSE]].append(name)
    groups |= beside_kd
    lines = [
        f"- {text}: {', '.join(map(markdown_cell, names))}."
        for text, names in groups.items()
        if names
    ]
    if len(order) > 6:
        lines.append(
            f"- {len(order) - 1} comparisons with the control are made here: of as many without any effect, "
            f"about {0.05 * (len(order) - 1):.1f} would be expected to look like one."
        )
    return lines


_BETTER, _UNCLEAR, _WORSE, _FEW_SEEDS = range(4)


def _place(apart: Difference | None) -> int:
    """Which side of zero a difference lies on, as far as its interval tells."""
    if apart is None or apart.interval is None or apart.seeds < SEEDS_NEEDED:
        return _FEW_SEEDS
    if apart.interval.lower > 0:
        return _BETTER
    return _WORSE if apart.interval.upper < 0 else _UNCLEAR


def _origin(cells: Sequence[Cell], teachers: Sequence[Cell]) -> list[str]:
    taught_by = {cell.teacher for cell in cells}
    lines = [
        f"Made by `tutelage sweep` from {len(cells)} cells on {_one_of(c.machine for c in cells)}; "
        f"{_one_of(cell.software for cell in cells)}."
    ]
    if len(taught_by) > 1 or len(teachers) > 1:
        lines.append(f"The cells come from {len(taught_by)} trainings of the same teacher.")
    lines.append(
        "Seconds an epoch are of a machine that did other work as well: they are no benchmark."
    )
    return lines


def _one_of(values: Iterable[str]) -> str:
    return " or ".join(map(markdown_cell, sorted(set(values))))


def _mean(cells: Sequence[Cell]) -> float:
    return mean(cell.accuracy for cell in cells)


def _spread(cells: Sequence[Cell]) -> str:
    accuracies = [100 * cell.accuracy for cell in cells]
    return f"{mean(accuracies):.2f}" + (
        f" ± {stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    )


def _apart(found: Difference | None) -> str:
    if found is None:
        return f"{_FEW} | {_FEW}"
    between = found.interval
    told = f"{points(between.lower, 2)} to {points(between.upper, 2)}" if between else _FEW
    return f"{points(found.mean, 2)} | {told}"
