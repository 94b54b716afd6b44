"""The four figures of the published form: accuracy and loss against epoch, teacher and student.

Bytes depend on the numbers alone: no date, no version, a fixed salt for the ids inside the SVG.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.reports.record.types import JobRecord, Role, RunRecord
from tutelage.storage.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: dict[Role, str] = {"teacher": "#00805d", "student": "#0072b2"}
DARK_COLOURS: dict[Role, str] = {"teacher": "#3cc79f", "student": "#62b7ee"}
DRAWN: tuple[Role, ...] = ("teacher", "student")


class Figure(NamedTuple):
    """One figure: file stem, caption, and its bytes; `dark_svg` is for dark pages only."""

    name: str
    caption: str
    svg: bytes
    png: bytes
    dark_svg: bytes


def draw_figures(record: JobRecord) -> list[Figure]:
    """The figures of every role that has a journal."""
    figures = []
    for role in DRAWN:
        runs = [run for run in record.alike(role) if run.journal]
        if not runs:
            continue
        for quantity in ("accuracy", "loss"):
            seeds = f", {len(runs)} seeds: thin lines, and their mean" if len(runs) > 1 else ""
            name = runs[0].published_name or runs[0].model
            caption = f"{role.capitalize()} ({name}): {quantity} against epoch{seeds}"
            figures.append(
                Figure(
                    name=f"{role}_{quantity}",
                    caption=caption,
                    svg=_draw(runs, quantity, "svg", dark=False),
                    png=_draw(runs, quantity, "png", dark=False),
                    dark_svg=_draw(runs, quantity, "svg", dark=True),
                )
            )
    return figures


def write_figures(figures: list[Figure], folder: Path) -> None:
    """Each figure as NAME.svg and NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        write_bytes(folder / f"{figure.name}.svg", figure.svg)
        write_bytes(folder / f"{figure.name}.png", figure.png)


def _draw(runs: list[RunRecord], quantity: str, kind: str, *, dark: bool) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import MaxNLocator

    look = style(dark=dark)
    soft = look.soft
    with mpl.rc_context(look.rules):
        canvas = Canvas(figsize=(5.2, 3.25), layout="constrained")
        axes = canvas.add_subplot()
        _curves(axes, runs, f"val_{quantity}", look.colours[runs[0].role], "-", "validation")
        _curves(axes, runs, f"train_{quantity}", soft, (0, (4, 2.2)), "training")
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy (%)" if quantity == "accuracy" else "loss")
        axes.grid(axis="y", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best", handlelength=2.4)
        buffer = io.BytesIO()
        clean = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        canvas.savefig(buffer, format=kind, dpi=200, metadata=clean, transparent=kind == "svg")
    return buffer.getvalue()


class Style(NamedTuple):
    """How figures look: the rules of matplotlib, a colour for what is less important, and those of roles."""

    rules: dict[Any, Any]
    soft: str
    colours: dict[Role, str]


def style(*, dark: bool) -> Style:
    """The look of all figures, on light or dark pages; nothing in it depends on the machine or the day."""
    ink, soft, grid = (
        ("#e8e6e1", "#a3a29e", "#3a3c40") if dark else ("#24262b", "#6d6f75", "#e2e0da")
    )
    rules: dict[Any, Any] = {
        "svg.hashsalt": "tutelage", "svg.fonttype": "path", "font.family": "DejaVu Sans",
        "font.size": 10, "text.color": ink, "axes.labelcolor": soft, "xtick.color": soft,
        "ytick.color": soft, "axes.edgecolor": grid, "grid.color": grid, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "path.simplify": False,
    }  # fmt: skip
    return Style(rules, soft, DARK_COLOURS if dark else COLOURS)


def _curves(
    axes: "Axes", runs: list[RunRecord], key: str, colour: str, style: object, label: str
) -> None:
    """Each run thin, their mean thick over the epochs that all have."""
    scale = 100 if key.endswith("accuracy") else 1
    rows = [[scale * float(getattr(epoch, key)) for epoch in run.journal] for run in runs]
    length = min(len(row) for row in rows)
    marker = "o" if length <= 8 else None
    if len(rows) > 1:
        for row in rows:
            axes.plot(_epochs(row), row, color=colour, linewidth=0.7, alpha=0.45)
    mean = np.mean([row[:length] for row in rows], axis=0)
    axes.plot(
        _epochs(mean), mean, color=colour, linewidth=1.9, linestyle=style, label=label,
        marker=marker, markersize=3.5,
    )  # fmt: skip


def _epochs(row: "list[float] | NDArray[np.float64]") -> list[int]:
    return list(range(1, len(row) + 1))
