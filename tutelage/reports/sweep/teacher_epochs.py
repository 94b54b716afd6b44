"""Teachers of several lengths of training, and what each made of the same student: a table and a curve."""

import io
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from tutelage.reports.render.figures import style
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
    """What a teacher of some epochs reached, in shares, and its students, one value a seed.

    way: what they were taught; control: mean of the same students without a teacher, None where there are
    none of them; apart: from it.
    """

    way: str
    epochs: int
    teacher: float | None
    students: tuple[float, ...]
    control: float | None
    apart: Difference | None


def teacher_lengths(
    students: Mapping[str, Sequence[SweepResult]],
    teachers: Sequence[SweepResult],
    controls: Sequence[SweepResult],
) -> list[TeacherLength]:
    """By what was taught, and then by how long the teacher was trained; empty where all had one length.

    `students` are named as a sweep names them: `kd@5` under a teacher of five epochs.
    """
    trained = {cell.epochs: cell.accuracy for cell in teachers}
    alone = mean(cell.accuracy for cell in controls) if controls else None
    found = []
    for name, own in students.items():
        way, _, said = name.rpartition("@")
        epochs = own[0].teacher_epochs
        if way and epochs is not None and said == str(epochs):
            accuracies = tuple(cell.accuracy for cell in own)
            found.append(
                TeacherLength(
                    way,
                    epochs,
                    trained.get(epochs),
                    accuracies,
                    alone,
                    sweep_difference(own, controls),
                )
            )
    return sorted(found, key=lambda one: one[:2])


def length_lines(found: Sequence[TeacherLength], curve: str) -> list[str]:
    """The table as Markdown, below the curve in the file of that name."""
    lines = ["## The teacher's length", ""]
    if curve:
        lines += [f"![Accuracy of student and teacher against the teacher's epochs]({curve})", ""]
    lines += [
        "| taught by | teacher's epochs | teacher % | student % | less control | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        parts = [
            markdown_cell(one.way),
            str(one.epochs),
            NOTHING if one.teacher is None else f"{100 * one.teacher:.2f}",
            in_per_cent(one.students),
            *in_points(one.apart),
        ]
        lines.append(f"| {' | '.join(parts)} |")
    return lines


def draw_lengths(found: Sequence[TeacherLength]) -> bytes:
    """The curve as SVG: students with the deviation over seeds, their teachers, and the control as a line."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    look = style(dark=False)
    with mpl.rc_context(look.rules):
        canvas = Figure(figsize=(5.2, 3.25), layout="constrained")
        axes: Any = canvas.add_subplot()
        ways = sorted({one.way for one in found})
        for way, line in zip(ways, ("-", "--", ":", "-.") * len(ways), strict=False):
            own = [one for one in found if one.way == way]
            axes.errorbar(
                [one.epochs for one in own],
                [100 * mean(one.students) for one in own],
                yerr=[100 * stdev(o.students) if len(o.students) > 1 else 0.0 for o in own],
                color=look.colours["student"], linestyle=line, marker="o", markersize=3.5,
                linewidth=1.9, capsize=3, label=f"student ({way})",
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
        axes.grid(axis="y", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.legend(loc="best", handlelength=2.4)
        buffer = io.BytesIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
