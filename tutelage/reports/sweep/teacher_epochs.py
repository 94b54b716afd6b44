"""Teachers trained for different numbers of epochs, and their students: a table and a curve."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from tutelage.reports.render.figures import save_figure, style
from tutelage.reports.sweep.differences import (
    NOTHING,
    Difference,
    in_per_cent,
    in_points,
    sweep_difference,
)
from tutelage.reports.sweep.results import SweepResult
from tutelage.reports.wording import markdown_cell


class TeacherLength(NamedTuple):
    """The students of a teacher that was trained for some epochs; accuracies in 0..1."""

    objective: str
    epochs: int
    """Of the teacher."""
    teacher: float | None
    """Its accuracy."""
    students: tuple[float, ...]
    """Accuracy by seed."""
    control: float | None
    """Mean accuracy of the same students without a teacher."""
    difference: Difference | None
    """Of the students from their controls."""


def teacher_lengths(
    students: Mapping[str, Sequence[SweepResult]],
    teachers: Sequence[SweepResult],
    controls: Sequence[SweepResult],
) -> list[TeacherLength]:
    """Group students by objective and teacher's epochs; empty if all teachers had the same.

    `students` are named as a sweep names them: `kd@5` for a teacher of five epochs.
    """
    trained = {cell.epochs: cell.accuracy for cell in teachers}
    alone = mean(cell.accuracy for cell in controls) if controls else None
    found = []
    for name, own in students.items():
        objective, _, number = name.rpartition("@")
        epochs = own[0].teacher_epochs
        if objective and epochs is not None and number == str(epochs):
            accuracies = tuple(cell.accuracy for cell in own)
            found.append(
                TeacherLength(objective, epochs, trained.get(epochs), accuracies, alone,
                              sweep_difference(own, controls))
            )  # fmt: skip
    return sorted(found, key=lambda one: one[:2])


def length_lines(found: Sequence[TeacherLength], curve: str) -> list[str]:
    """Render the table as Markdown, below the image `curve`."""
    lines = ["## The teacher's epochs", ""]
    if curve:
        lines += [f"![Accuracy of student and teacher against the teacher's epochs]({curve})", ""]
    lines += [
        "| student's objective | teacher's epochs | teacher % | student % | minus control | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        parts = [
            markdown_cell(one.objective),
            str(one.epochs),
            NOTHING if one.teacher is None else f"{100 * one.teacher:.2f}",
            in_per_cent(one.students),
            *in_points(one.difference),
        ]
        lines.append(f"| {' | '.join(parts)} |")
    return lines


def draw_lengths(found: Sequence[TeacherLength]) -> bytes:
    """Draw the curve as SVG: students with deviation over seeds, teachers, and the control as a line."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    look = style(dark=False)
    with mpl.rc_context(look.rules):
        canvas = Figure(figsize=(5.2, 3.25), layout="constrained")
        axes: Any = canvas.add_subplot()
        objectives = sorted({one.objective for one in found})
        for name, line in zip(objectives, ("-", "--", ":", "-.") * len(objectives), strict=False):
            own = [one for one in found if one.objective == name]
            axes.errorbar(
                [one.epochs for one in own],
                [100 * mean(one.students) for one in own],
                yerr=[100 * stdev(o.students) if len(o.students) > 1 else 0.0 for o in own],
                color=look.colours["student"], linestyle=line, marker="o", markersize=3.5,
                linewidth=1.9, capsize=3, label=f"student ({name})",
            )  # fmt: skip
        taught = {one.epochs: one.teacher for one in found if one.teacher is not None}
        axes.plot(
            list(taught), [100 * value for value in taught.values()], marker="o", markersize=3.5,
            color=look.colours["teacher"], linewidth=1.9, label="teacher",
        )  # fmt: skip
        if found[0].control is not None:
            axes.axhline(
                100 * found[0].control, color=look.soft, linestyle=(0, (4, 2.2)), label="control"
            )
        axes.set_xscale("log")
        ticks = sorted({one.epochs for one in found})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("epochs of the teacher's training")
        axes.set_ylabel("accuracy (%)")
        return save_figure(canvas, axes, "svg")
