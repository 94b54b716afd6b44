"""Render the page of a sweep: each objective compared with no teacher, equal compute, and plain KD."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from tutelage.config.image_size import ImageSize, spell_size
from tutelage.config.roles import CONTROL, EQUAL_COMPUTE, STUDENT, TEACHER
from tutelage.reports.statistics.verdict import SEEDS_NEEDED
from tutelage.reports.sweep.differences import (
    NOTHING,
    Difference,
    beyond_chance,
    in_per_cent,
    in_points,
    sweep_difference,
)
from tutelage.reports.sweep.results import SweepResult, read_results
from tutelage.reports.sweep.teacher_epochs import (
    TeacherLength,
    draw_lengths,
    length_lines,
    teacher_lengths,
)
from tutelage.reports.wording import markdown_cell
from tutelage.storage.atomic import write_bytes


class Baseline(NamedTuple):
    """What the rows of the table are compared with."""

    name: str
    words: str
    """Its name in a sentence."""
    difference: Callable[[Sequence[SweepResult]], Difference | None]
    """Compares the cells of a row with it."""


class SweepRows(NamedTuple):
    """The cells of a sweep by purpose."""

    students: dict[str, list[SweepResult]]
    """By objective."""
    controls: list[SweepResult]
    equal_compute: list[SweepResult]
    teachers: list[SweepResult]

    def order(self) -> list[str]:
        """Return the objectives, the most accurate first."""
        return sorted(self.students, key=lambda name: (-_mean(self.students[name]), name))


def sort_results(cells: Sequence[SweepResult]) -> SweepRows:
    """Group the cells by purpose."""
    students: dict[str, list[SweepResult]] = {}
    for cell in cells:
        if cell.role == STUDENT:
            students.setdefault(cell.objective, []).append(cell)
    others = ([c for c in cells if c.role == role] for role in (CONTROL, EQUAL_COMPUTE, TEACHER))
    return SweepRows(students, *others)


def write_sweep_page(folder: Path) -> Path:
    """Write the page of a folder of cells beside it, FOLDER.md, and return the file.

    If teachers were trained for different numbers of epochs, FOLDER.svg has their curve.
    """
    cells, path = read_results(folder), folder.parent / f"{folder.name}.md"
    found = _lengths(sort_results(cells))
    if found:
        write_bytes(path.with_suffix(".svg"), draw_lengths(found))
    write_bytes(path, sweep_page(cells, curve=f"{folder.name}.svg").encode())
    return path


def sweep_page(cells: Sequence[SweepResult], *, curve: str = "") -> str:
    """Render the page: a table, what helped, what did not, and where the figures come from.

    `curve` is the image file of the curve over the teacher's epochs.
    """
    rows = sort_results(cells)
    lines = [*_head(cells, rows), "", *_table(rows), "", *_verdicts(rows)]
    found = _lengths(rows)
    if found:
        lines += ["", *length_lines(found, curve)]
    lines += ["", *_origin(cells, rows)]
    return "\n".join(lines) + "\n"


def baselines(rows: SweepRows) -> list[Baseline]:
    """List what students are compared with: always the control, and what else there is."""

    def equal_compute(own: Sequence[SweepResult]) -> Difference | None:
        return sweep_difference(own, rows.equal_compute, equal="plain_epochs")

    found = [Baseline("control", "no teacher", lambda own: sweep_difference(own, rows.controls))]
    if rows.equal_compute:
        words = "training without a teacher at equal compute"
        found.append(Baseline("equal compute", words, equal_compute))
    if kd := rows.students.get("kd"):
        found.append(
            Baseline("kd", "kd", lambda own: None if own is kd else sweep_difference(own, kd))
        )
    return found


def _lengths(rows: SweepRows) -> list[TeacherLength]:
    return teacher_lengths(rows.students, rows.teachers, rows.controls)


def _head(cells: Sequence[SweepResult], rows: SweepRows) -> list[str]:
    students = [cell for own in rows.students.values() for cell in own]
    shown = students or rows.controls or list(cells)
    facts = [_one_of(str(getattr(cell, field)) for cell in shown) for field in ("model", "epochs")]
    images = _one_of(str(len(cell.right)) for cell in shown)
    lines = ["# Students side by side", ""]
    lines.append(
        f"Student {facts[0]}, {facts[1]} epochs at {_one_of(_pixels(c.image_size) for c in shown)} pixels; "
        f"last epoch on {images} validation images. The control is the same student with the same seed, "
        "without a teacher."
    )
    if rows.equal_compute:
        lines.append(
            "A student that is its own teacher costs more than its control. At equal compute it is compared "
            "with longer training without a teacher that costs as much."
        )
    if rows.teachers and not _lengths(rows):
        best = ", ".join(f"{100 * cell.accuracy:.1f} %" for cell in rows.teachers)
        lines.append(f"Teacher {_one_of(cell.model for cell in rows.teachers)}: {best}.")
    return lines


def _table(rows: SweepRows) -> list[str]:
    against = baselines(rows)
    ensembles = any(cell.together is not None for own in rows.students.values() for cell in own)
    names = ["objective", "seeds", "accuracy %"]
    for baseline in against:
        names += [f"minus {baseline.name}", "95 % interval"]
    names += ["ensemble %"] if ensembles else []
    names += ["agreement with teacher %", "ECE %", "s per epoch"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, own in (("control", rows.controls), *((n, rows.students[n]) for n in rows.order())):
        if not own:
            continue
        parts = [markdown_cell(name), str(len(own)), in_per_cent([cell.accuracy for cell in own])]
        for baseline in against:
            parts += in_points(None if own is rows.controls else baseline.difference(own))
        parts += [_share(cell.together for cell in own)] if ensembles else []
        # A control's agreement is with one teacher; of several it would be misleading.
        agreed = [] if own is rows.controls and len(rows.teachers) > 1 else own
        parts += [_share(cell.agreement for cell in agreed), _share(cell.ece for cell in own)]
        parts.append(f"{mean(cell.seconds_per_epoch for cell in own):.0f}")
        lines.append(f"| {' | '.join(parts)} |")
    return lines


def _verdicts(rows: SweepRows) -> list[str]:
    control, *others = baselines(rows)

    def named(baseline: Baseline, sign: int | None) -> list[str]:
        return [
            name
            for name in rows.order()
            if beyond_chance(baseline.difference(rows.students[name])) == sign
        ]

    groups = {
        "Better than no teacher, beyond chance": named(control, 1),
        "No clear difference from no teacher": named(control, 0),
        "Worse than no teacher, beyond chance": named(control, -1),
        f"Fewer than {SEEDS_NEEDED} seeds, so no verdict": named(control, None),
    }
    # Of the other comparisons only clear differences are named: the table has the rest.
    for other in others:
        groups[f"Better than {other.words}, beyond chance"] = named(other, 1)
        groups[f"Worse than {other.words}, beyond chance"] = named(other, -1)
    lines = [
        f"- {text}: {', '.join(map(markdown_cell, names))}."
        for text, names in groups.items()
        if names
    ]
    if len(rows.students) > 5:
        count = len(rows.students)
        lines.append(
            f"- Of {count} comparisons with the control, about {0.05 * count:.1f} would be expected to "
            "show a difference without any effect."
        )
    return lines


def _origin(cells: Sequence[SweepResult], rows: SweepRows) -> list[str]:
    taught_by: dict[int, set[str]] = {}
    for cell in (cell for own in rows.students.values() for cell in own):
        if cell.teacher_epochs is not None:
            taught_by.setdefault(cell.teacher_epochs, set()).add(cell.teacher)
    trainings = max(map(len, taught_by.values()), default=1)
    lines = [
        f"Made by `tutelage sweep` from {len(cells)} cells on {_one_of(c.machine for c in cells)}; "
        f"{_one_of(cell.software for cell in cells)}."
    ]
    if trainings > 1:
        lines.append(f"The cells come from {trainings} trainings of the same teacher.")
    lines.append("Seconds per epoch are no benchmark: the machine did other work as well.")
    return lines


def _one_of(values: Iterable[str]) -> str:
    return " or ".join(map(markdown_cell, sorted(set(values))))


def _mean(cells: Sequence[SweepResult]) -> float:
    return mean(cell.accuracy for cell in cells)


def _share(values: Iterable[float | None]) -> str:
    there = [value for value in values if value is not None]
    return f"{100 * mean(there):.1f}" if there else NOTHING


def _pixels(size: ImageSize) -> str:
    return str(size) if isinstance(size, int) else spell_size(size)
