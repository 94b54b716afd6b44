"""Draw the four figures of the published form: accuracy and loss against epoch, teacher and student.

Bytes depend on the numbers alone: no date, no version, a fixed salt for the ids inside the SVG.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.config.roles import Role
from tutelage.reports.record.types import JobRecord, RunRecord
from tutelage.reports.wording import role_label
from tutelage.storage.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as FigureBase

COLOURS: dict[Role, str] = {"teacher": "#00805d", "student": "#0072b2"}
DARK_COLOURS: dict[Role, str] = {"teacher": "#3cc79f", "student": "#62b7ee"}


class Figure(NamedTuple):
    """One figure."""

    name: str
    """File stem."""
    caption: str
    svg: bytes
    png: bytes
    dark_svg: bytes
    """For dark pages."""


def draw_figures(record: JobRecord) -> list[Figure]:
    """Draw teacher and student, as far as they have a journal."""
    figures = []
    for role in COLOURS:
        runs = [run for run in record.alike(role) if run.journal]
        if not runs:
            continue
        for quantity in ("accuracy", "loss"):
            seeds = f", {len(runs)} seeds: thin lines, and their mean" if len(runs) > 1 else ""
            caption = f"{role_label(role)} ({runs[0].network}): {quantity} against epoch{seeds}"
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
    """Write each figure as NAME.svg and NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        write_bytes(folder / f"{figure.name}.svg", figure.svg)
        write_bytes(folder / f"{figure.name}.png", figure.png)


def _draw(runs: list[RunRecord], quantity: str, kind: str, *, dark: bool) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import MaxNLocator

    look = style(dark=dark)
    with mpl.rc_context(look.rules):
        canvas = Canvas(figsize=(5.2, 3.25), layout="constrained")
        axes = canvas.add_subplot()
        shown = {part: [_curve(run, part, quantity) for run in runs] for part in ("val", "train")}
        _curves(axes, shown["val"], look.colours[runs[0].role], "-", "validation")
        _curves(axes, shown["train"], look.soft, (0, (4, 2.2)), "training")
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy (%)" if quantity == "accuracy" else "loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return save_figure(canvas, axes, kind, transparent=kind == "svg")


def save_figure(
    canvas: "FigureBase", axes: "Axes", kind: str, *, transparent: bool = False
) -> bytes:
    """Add grid and legend, and encode a figure as svg or png without date and version."""
    axes.grid(axis="y", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.legend(loc="best", handlelength=2.4)
    buffer = io.BytesIO()
    clean = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    canvas.savefig(buffer, format=kind, dpi=200, metadata=clean, transparent=transparent)
    return buffer.getvalue()


class Style(NamedTuple):
    """The look of figures."""

    rules: dict[Any, Any]
    """matplotlib's rcParams."""
    soft: str
    """Colour of what is less important."""
    colours: dict[Role, str]


def style(*, dark: bool) -> Style:
    """Return the look of all figures on light or dark pages, independent of machine and day."""
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


def _curve(run: RunRecord, part: str, quantity: str) -> list[float]:
    scale = 100 if quantity == "accuracy" else 1
    return [scale * float(getattr(getattr(epoch, part), quantity)) for epoch in run.journal]


def _curves(axes: "Axes", rows: list[list[float]], colour: str, style: object, label: str) -> None:
    """Draw each run thin, and their mean thick over the epochs that all have."""
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
