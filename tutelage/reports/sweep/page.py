"""Cells of a sweep -> a page: each way of teaching beside the control without a teacher, and beside KD."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

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


class _Side(NamedTuple):
    """What a table's rows are held against: by its name, and how a row's difference to it is found."""

    name: str
    apart: Callable[[Sequence[SweepResult]], Difference | None]


class SweepRows(NamedTuple):
    """The cells of a sweep: of students by what they were taught, and what they are held against."""

    students: dict[str, list[SweepResult]]
    controls: list[SweepResult]
    longer: list[SweepResult]
    teachers: list[SweepResult]

    def order(self) -> list[str]:
        """The students, the most accurate first."""
        return sorted(self.students, key=lambda name: (-_mean(self.students[name]), name))


def sort_results(cells: Sequence[SweepResult]) -> SweepRows:
    """The cells by what they are for."""
    students: dict[str, list[SweepResult]] = {}
    for cell in cells:
        if cell.role == "student":
            students.setdefault(cell.objective, []).append(cell)
    others = (
        [c for c in cells if c.role == role]
        for role in ("control", "control-equal-compute", "teacher")
    )
    return SweepRows(students, *others)


def write_sweep_page(folder: Path) -> Path:
    """Write the page of a folder of cells, as a Markdown file beside it. Returns the file.

    Where teachers of several lengths taught, their curve is drawn beside it: FOLDER.svg.
    """
    cells, path = read_results(folder), folder.parent / f"{folder.name}.md"
    found = _lengths(sort_results(cells))
    if found:
        write_bytes(path.with_suffix(".svg"), draw_lengths(found))
    write_bytes(path, sweep_page(cells, curve=f"{folder.name}.svg").encode())
    return path


def sweep_page(cells: Sequence[SweepResult], *, curve: str = "") -> str:
    """The page as Markdown: a table, what helped, what did not, and where the figures come from.

    `curve` is the file of the curve over the teacher's lengths, which is shown where there are several.
    """
    ways = sort_results(cells)
    lines = [*_head(cells, ways), "", *_table(ways), "", *_verdicts(ways)]
    found = _lengths(ways)
    if found:
        lines += ["", *length_lines(found, curve)]
    lines += ["", *_origin(cells, ways)]
    return "\n".join(lines) + "\n"


def sweep_sides(ways: SweepRows) -> list[_Side]:
    """What students are held against: always the control, and what else there is."""
    found = [_Side("control", lambda own: sweep_difference(own, ways.controls))]
    if ways.longer:
        found.append(
            _Side(
                "equal compute",
                lambda own: sweep_difference(own, ways.longer, equal="plain_epochs"),
            )
        )
    if kd := ways.students.get("kd"):
        found.append(_Side("kd", lambda own: None if own is kd else sweep_difference(own, kd)))
    return found


def _lengths(ways: SweepRows) -> list[TeacherLength]:
    """What teachers of several lengths reached, and their students; empty where all had one length."""
    return teacher_lengths(ways.students, ways.teachers, ways.controls)


def _head(cells: Sequence[SweepResult], ways: SweepRows) -> list[str]:
    students = [cell for own in ways.students.values() for cell in own]
    shown = students or ways.controls or list(cells)
    facts = [_one_of(str(getattr(cell, field)) for cell in shown) for field in ("model", "epochs")]
    images = _one_of(str(len(cell.right)) for cell in shown)
    lines = ["# Students side by side", ""]
    lines.append(
        f"Student {facts[0]}, {facts[1]} epochs at {_one_of(str(c.image_size) for c in shown)} pixels; last "
        f"epoch on {images} validation images. The control is the same student, seed by seed, without a "
        "teacher."
    )
    if ways.longer:
        lines.append(
            "A student that teaches itself costs more than its control: at equal compute it is held against "
            "plain training that costs as much, unless the control does."
        )
    if ways.teachers and not _lengths(ways):
        best = ", ".join(f"{100 * cell.accuracy:.1f} %" for cell in ways.teachers)
        lines.append(f"Teacher {_one_of(cell.model for cell in ways.teachers)}: {best}.")
    return lines


def _table(ways: SweepRows) -> list[str]:
    against = sweep_sides(ways)
    asked = any(cell.together is not None for own in ways.students.values() for cell in own)
    names = ["objective", "seeds", "accuracy %"]
    for side in against:
        names += [f"less {side.name}", "95 % interval"]
    names += ["together %"] if asked else []
    names += ["agrees with teacher %", "ECE %", "s an epoch"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    rows = [("control", ways.controls), *((name, ways.students[name]) for name in ways.order())]
    for name, own in rows:
        if not own:
            continue
        parts = [markdown_cell(name), str(len(own)), in_per_cent([cell.accuracy for cell in own])]
        for side in against:
            parts += in_points(None if own is ways.controls else side.apart(own))
        parts += [_share(cell.together for cell in own)] if asked else []
        # A control is held to one teacher: where there are several it says nothing of the others.
        agreed = [] if own is ways.controls and len(ways.teachers) > 1 else own
        parts += [_share(cell.agreement for cell in agreed), _share(cell.ece for cell in own)]
        parts.append(f"{mean(cell.seconds_per_epoch for cell in own):.0f}")
        lines.append(f"| {' | '.join(parts)} |")
    return lines


_AGAINST = {
    "control": "no teacher",
    "equal compute": "plain training of equal compute",
    "kd": "kd",
}


def _verdicts(ways: SweepRows) -> list[str]:
    control, *others = sweep_sides(ways)
    placed = {name: beyond_chance(control.apart(own)) for name, own in ways.students.items()}
    texts = {
        1: "Better than no teacher, beyond chance",
        0: "Cannot be told from no teacher",
        -1: "Worse than no teacher, beyond chance",
        None: f"Fewer than {SEEDS_NEEDED} seeds, so nothing can be said",
    }
    groups = {
        text: [n for n in ways.order() if placed[n] == place] for place, text in texts.items()
    }
    # Beside the others only what stands out is named: the table has the rest.
    for side in others:
        for place, word in ((1, "Better"), (-1, "Worse")):
            text = f"{word} than {_AGAINST[side.name]}, beyond chance"
            groups[text] = [
                n for n in ways.order() if beyond_chance(side.apart(ways.students[n])) == place
            ]
    lines = [
        f"- {text}: {', '.join(map(markdown_cell, names))}."
        for text, names in groups.items()
        if names
    ]
    if len(ways.students) > 5:
        count = len(ways.students)
        lines.append(
            f"- {count} comparisons with the control are made here: of as many without any effect, "
            f"about {0.05 * count:.1f} would be expected to look like one."
        )
    return lines


def _origin(cells: Sequence[SweepResult], ways: SweepRows) -> list[str]:
    taught_by: dict[int, set[str]] = {}
    for cell in (cell for own in ways.students.values() for cell in own):
        if cell.teacher_epochs is not None:
            taught_by.setdefault(cell.teacher_epochs, set()).add(cell.teacher)
    trainings = max(map(len, taught_by.values()), default=1)
    lines = [
        f"Made by `tutelage sweep` from {len(cells)} cells on {_one_of(c.machine for c in cells)}; "
        f"{_one_of(cell.software for cell in cells)}."
    ]
    if trainings > 1:
        lines.append(f"The cells come from {trainings} trainings of the same teacher.")
    lines.append(
        "Seconds an epoch are of a machine that did other work as well: they are no benchmark."
    )
    return lines


def _one_of(values: Iterable[str]) -> str:
    return " or ".join(map(markdown_cell, sorted(set(values))))


def _mean(cells: Sequence[SweepResult]) -> float:
    return mean(cell.accuracy for cell in cells)


def _share(values: Iterable[float | None]) -> str:
    there = [value for value in values if value is not None]
    return f"{100 * mean(there):.1f}" if there else NOTHING
